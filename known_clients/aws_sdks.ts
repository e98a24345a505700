/**
 * AWS's own SDKs and command line. Minimum versions are from the EC2 user guide ("Use a supported SDK version
 * for IMDSv2") unless a note says otherwise. The fallback of each was measured, or read in its source.
 */
import {
  type Client,
  MINIMUM_VERSIONS_PAGE,
  packageOf,
  SDK_SETTINGS_PAGE,
  SHARED_FALLBACK_OFF,
} from './client.ts';
import { shellStep, textStep } from './step.ts';

function sdk(known: Partial<Client> & Pick<Client, 'id' | 'name' | 'language'>): Client {
  return {
    tokens: 'since',
    minimum: null,
    fallsBack: true,
    fallbackOffSince: null,
    neverFallsBackSince: null,
    userAgents: [],
    programs: [],
    packages: [],
    fallbackOff: SHARED_FALLBACK_OFF,
    upgrade: [],
    notes: [],
    source: MINIMUM_VERSIONS_PAGE,
    sources: [MINIMUM_VERSIONS_PAGE],
    ...known,
  };
}

const REMEMBERS =
  'Once a token request was refused (403, 404, 405) it stays with IMDSv1 until it is restarted.';

export const AWS_SDKS: readonly Client[] = [
  sdk({
    id: 'aws-cli',
    name: 'AWS CLI',
    language: 'shell',
    userAgents: [/\baws-cli\/([\w.+-]+)/i],
    packages: [packageOf('pypi', 'awscli', { tokens: 'since', minimum: '1.16.289', fallsBack: true })],
    minimum: '1.16.289',
    upgrade: [textStep('Install the current AWS CLI version 2.')],
    notes: ['The first release of the CLI with the setting that turns the fallback off was not verified.'],
  }),
  sdk({
    id: 'boto3',
    name: 'AWS SDK for Python (boto3)',
    language: 'python',
    userAgents: [/\bboto3\/([\w.+-]+)/i],
    packages: [
      packageOf('pypi', 'boto3', {
        tokens: 'since',
        minimum: '1.10.25',
        fallsBack: true,
        fallbackOffSince: '1.29.4',
      }),
    ],
    minimum: '1.12.6',
    upgrade: [
      shellStep('Update boto3 and botocore.', "pip install --upgrade 'boto3>=1.12.6' 'botocore>=1.32.4'"),
    ],
    notes: [
      'The setting that turns the fallback off came with botocore 1.32.4. The matching boto3 release was not verified.',
    ],
  }),
  sdk({
    id: 'botocore',
    name: 'AWS SDK for Python (botocore)',
    language: 'python',
    userAgents: [/\bbotocore\/([\w.+-]+)/i],
    packages: [
      packageOf('pypi', 'botocore', {
        tokens: 'since',
        minimum: '1.13.25',
        fallsBack: true,
        fallbackOffSince: '1.32.4',
      }),
    ],
    minimum: '1.13.25',
    fallbackOffSince: '1.32.4',
    upgrade: [shellStep('Update botocore.', "pip install --upgrade 'botocore>=1.32.4'")],
  }),
  sdk({
    id: 'aws-sdk-js-v2',
    name: 'AWS SDK for JavaScript v2',
    language: 'javascript',
    userAgents: [/\baws-sdk-nodejs\/([\w.+-]+)/],
    packages: [
      packageOf('npm', 'aws-sdk', {
        tokens: 'since',
        minimum: '2.575.0',
        fallsBack: true,
        fallbackOffSince: '2.1488.0',
      }),
    ],
    // AWS's page says 2.722.0; 2.574.0 was measured to speak IMDSv1 only and 2.575.0 to ask for a token.
    minimum: '2.575.0',
    fallbackOffSince: '2.1488.0',
    upgrade: [shellStep('Update to the last release, or move to version 3.', 'npm install aws-sdk@2.1693.0')],
    notes: ["AWS's own page names 2.722.0 as the minimum."],
  }),
  sdk({
    id: 'aws-sdk-js-v3',
    name: 'AWS SDK for JavaScript v3',
    language: 'javascript',
    packages: [
      packageOf('npm', '@smithy/credential-provider-imds', {
        tokens: 'always',
        fallsBack: true,
        fallbackOffSince: '2.1.0',
      }),
      packageOf('npm', '@aws-sdk/credential-provider-imds', {
        tokens: 'since',
        minimum: '3.0.0',
        fallsBack: true,
      }),
    ],
    tokens: 'always',
    notes: [
      'The setting that turns the fallback off came with @smithy/credential-provider-imds 2.1.0.',
      'It sends no user agent, so its release is not known.',
    ],
    source: SDK_SETTINGS_PAGE,
  }),
  sdk({
    id: 'ec2-metadata-service-js',
    name: '@aws-sdk/ec2-metadata-service',
    language: 'javascript',
    packages: [packageOf('npm', '@aws-sdk/ec2-metadata-service', { tokens: 'always', fallsBack: true })],
    tokens: 'always',
    fallbackOff: [
      {
        text: 'Then turn the fallback off where the client is created, and set a timeout. Without one it waits for a token for ever.',
        code: 'new MetadataService({ ec2MetadataV1Disabled: true, httpOptions: { timeout: 1000 } })',
        language: 'javascript',
      },
    ],
    notes: ['The first release with that option was not verified.'],
    source: SDK_SETTINGS_PAGE,
  }),
  sdk({
    id: 'aws-sdk-go-v1',
    name: 'AWS SDK for Go v1',
    language: 'go',
    userAgents: [/\baws-sdk-go\/([\w.+-]+)/],
    packages: [
      packageOf('go', 'github.com/aws/aws-sdk-go', {
        tokens: 'since',
        minimum: '1.25.38',
        fallsBack: true,
        fallbackOffSince: '1.47.2',
      }),
    ],
    minimum: '1.25.38',
    fallbackOffSince: '1.47.2',
    upgrade: [
      shellStep(
        'Update the module and build again, or move to version 2.',
        'go get github.com/aws/aws-sdk-go@latest',
      ),
    ],
    notes: [REMEMBERS],
  }),
  sdk({
    id: 'aws-sdk-go-v2',
    name: 'AWS SDK for Go v2',
    language: 'go',
    userAgents: [/\baws-sdk-go-v2\/([\w.+-]+)/],
    packages: [
      packageOf('go', 'github.com/aws/aws-sdk-go-v2', {
        tokens: 'since',
        minimum: '0.19.0',
        fallsBack: true,
      }),
      packageOf('go', 'github.com/aws/aws-sdk-go-v2/feature/ec2/imds', {
        tokens: 'always',
        fallsBack: true,
        fallbackOffSince: '1.13.0',
      }),
    ],
    minimum: '0.19.0',
    upgrade: [
      shellStep(
        'Update the module and build again.',
        'go get github.com/aws/aws-sdk-go-v2/feature/ec2/imds@latest',
      ),
    ],
    notes: [
      'feature/ec2/imds 1.13.0 is the first release with an option that turns the fallback off. The first release that reads the environment variable was not verified. The user agent names the core module, which has release numbers of its own.',
    ],
  }),
  sdk({
    id: 'aws-sdk-java-v1',
    name: 'AWS SDK for Java 1.x',
    language: 'java',
    userAgents: [/\baws-sdk-java\/(1\.[\w.+-]+)/],
    packages: [
      packageOf('maven', 'com.amazonaws:aws-java-sdk-core', {
        tokens: 'since',
        minimum: '1.11.678',
        fallsBack: true,
      }),
    ],
    minimum: '1.11.678',
    upgrade: [textStep('Update the dependency com.amazonaws:aws-java-sdk-core to 1.11.678 or later.')],
    notes: ['The first release with the setting that turns the fallback off was not verified.'],
  }),
  sdk({
    id: 'aws-sdk-java-v2',
    name: 'AWS SDK for Java 2.x',
    language: 'java',
    userAgents: [/\baws-sdk-java\/(2\.[\w.+-]+)/],
    packages: [
      packageOf('maven', 'software.amazon.awssdk:auth', {
        tokens: 'since',
        minimum: '2.10.21',
        fallsBack: true,
        fallbackOffSince: '2.23.17',
      }),
    ],
    minimum: '2.10.21',
    upgrade: [textStep('Update the dependency software.amazon.awssdk:bom to 2.10.21 or later.')],
    fallbackOff: [
      shellStep(
        'Then turn the IMDSv1 fallback off. Only credential calls follow this setting, so set the region as well: looking the region up still falls back.',
        'AWS_EC2_METADATA_V1_DISABLED=true AWS_REGION=REGION',
      ),
    ],
    notes: ['The setting came with a change of January 2024. Its release was not verified.'],
  }),
  sdk({
    id: 'aws-sdk-net',
    name: 'AWS SDK for .NET',
    language: 'text',
    packages: [
      packageOf('nuget', 'AWSSDK.Core', {
        tokens: 'since',
        minimum: '3.3.103.66',
        fallsBack: true,
        neverFallsBackSince: '4.0.0',
      }),
    ],
    minimum: '3.3.634.1',
    upgrade: [textStep('Update AWSSDK.Core. Version 4 does not use IMDSv1 any more.')],
    notes: [`${REMEMBERS} The first release of version 3 that can turn the fallback off was not verified.`],
  }),
  sdk({
    id: 'aws-sdk-php',
    name: 'AWS SDK for PHP',
    language: 'php',
    userAgents: [/\baws-sdk-php\/([\w.+-]+)/],
    packages: [
      packageOf('composer', 'aws/aws-sdk-php', { tokens: 'since', minimum: '3.147.7', fallsBack: true }),
    ],
    minimum: '3.147.7',
    upgrade: [shellStep('Update the package.', "composer require 'aws/aws-sdk-php:^3.147.7'")],
    notes: [
      'The setting that turns the fallback off exists since November 2023. Its release was not verified.',
    ],
  }),
  sdk({
    id: 'aws-sdk-ruby-v3',
    name: 'AWS SDK for Ruby v3',
    language: 'ruby',
    userAgents: [/\baws-sdk-ruby3\/([\w.+-]+)/],
    packages: [
      packageOf('gem', 'aws-sdk-core', {
        from: '3.0.0',
        tokens: 'since',
        minimum: '3.79.0',
        fallsBack: true,
      }),
    ],
    minimum: '3.79.0',
    upgrade: [shellStep('Update aws-sdk-core.', 'bundle update aws-sdk-core')],
    notes: [
      'Release 3.168.1 has no setting that turns the fallback off. The first release that has one was not verified.',
    ],
  }),
  sdk({
    id: 'aws-sdk-cpp',
    name: 'AWS SDK for C++',
    language: 'text',
    userAgents: [/\baws-sdk-cpp\/([\w.+-]+)/],
    minimum: '1.7.229',
    upgrade: [textStep('Update the SDK to 1.7.229 or later and build again.')],
    fallbackOff: [
      textStep(
        'Then set ClientConfiguration.disableImdsV1, or build with DISABLE_IMDSV1 (first release not verified).',
      ),
    ],
  }),
  sdk({
    id: 'boto2',
    name: 'boto (version 2)',
    language: 'python',
    packages: [packageOf('pypi', 'boto', { tokens: 'never' })],
    tokens: 'never',
    fallsBack: false,
    fallbackOff: [],
    upgrade: [shellStep('Move to boto3.', 'pip install boto3')],
    source: null,
    sources: ['measured'],
  }),
  sdk({
    id: 'aws-sdk-ruby-v1',
    name: 'AWS SDK for Ruby v1',
    language: 'ruby',
    packages: [
      packageOf('gem', 'aws-sdk-v1', { tokens: 'never' }),
      packageOf('gem', 'aws-sdk', { below: '2.0.0', tokens: 'never' }),
    ],
    tokens: 'never',
    fallsBack: false,
    fallbackOff: [],
    upgrade: [shellStep('Move to version 3.', 'bundle add aws-sdk-core')],
    source: null,
    sources: ['measured'],
  }),
];
