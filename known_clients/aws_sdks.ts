/**
 * AWS's SDKs for interpreted languages, and its command line. Those that are compiled into programs are in
 * `compiled_sdks.ts`. The first release of each fact has its source beside it.
 */
import { type Client, MINIMUM_VERSIONS_PAGE, packageOf, SDK_SETTINGS_PAGE, sdk } from './client.ts';
import { shellStep, textStep } from './step.ts';

const BOTOCORE_SOURCES = [
  `IMDSv2 since botocore 1.13.25: ${MINIMUM_VERSIONS_PAGE}`,
  'Setting against the fallback since botocore 1.32.4: boto/botocore CHANGELOG.rst',
  'Fallback, user agent: measured (1.29.27, 1.43.11)',
];

export const AWS_SDKS: readonly Client[] = [
  sdk({
    id: 'aws-cli',
    name: 'AWS CLI',
    language: 'shell',
    userAgents: [/\baws-cli\/([\w.+-]+)/i],
    minimum: '1.16.289',
    packages: [packageOf('pypi', 'awscli', { tokens: 'since', minimum: '1.16.289', fallsBack: true })],
    upgrade: [textStep('Install the current AWS CLI version 2.')],
    notes: ['The first release of the CLI with the setting that turns the fallback off was not verified.'],
    sources: [
      `IMDSv2 since 1.16.289: ${MINIMUM_VERSIONS_PAGE}`,
      'Fallback, user agent: measured (1.45.11, 2.9.19)',
    ],
  }),
  sdk({
    id: 'boto3',
    name: 'AWS SDK for Python (boto3)',
    language: 'python',
    userAgents: [/\bboto3\/([\w.+-]+)/i],
    // AWS's page names 1.12.6. From 1.10.25 on, setup.py requires botocore 1.13.25.
    minimum: '1.10.25',
    fallbackOffSince: '1.29.4',
    packages: [
      packageOf('pypi', 'boto3', {
        tokens: 'since',
        minimum: '1.10.25',
        fallsBack: true,
        fallbackOffSince: '1.29.4',
      }),
    ],
    upgrade: [
      shellStep('Update boto3 and botocore.', "pip install --upgrade 'boto3>=1.29.4' 'botocore>=1.32.4'"),
    ],
    notes: ["AWS's own page names 1.12.6 as the minimum."],
    sources: [
      'IMDSv2 since 1.10.25, setting since 1.29.4, by the botocore that it requires: boto/boto3 setup.py',
      ...BOTOCORE_SOURCES,
    ],
  }),
  sdk({
    id: 'botocore',
    name: 'AWS SDK for Python (botocore)',
    language: 'python',
    userAgents: [/\bbotocore\/([\w.+-]+)/i],
    minimum: '1.13.25',
    fallbackOffSince: '1.32.4',
    packages: [
      packageOf('pypi', 'botocore', {
        tokens: 'since',
        minimum: '1.13.25',
        fallsBack: true,
        fallbackOffSince: '1.32.4',
      }),
    ],
    upgrade: [shellStep('Update botocore.', "pip install --upgrade 'botocore>=1.32.4'")],
    sources: BOTOCORE_SOURCES,
  }),
  sdk({
    id: 'botocore-old',
    name: 'AWS SDK for Python (botocore before 1.10, under boto3 before 1.7)',
    language: 'python',
    minimum: '1.13.25',
    fallbackOffSince: '1.32.4',
    upgrade: [
      shellStep(
        'Update boto3 and botocore: botocore 1.13.25 is the first that asks for a token, and boto3 1.12.6 (by its setup.py 1.10.25) needs it.',
        "pip install --upgrade 'boto3>=1.29.4' 'botocore>=1.32.4'",
      ),
    ],
    sources: [
      'No user agent of its own for metadata before 1.10: boto/botocore botocore/utils.py of its tags',
      ...BOTOCORE_SOURCES,
    ],
  }),
  sdk({
    id: 'aws-sdk-js-v2',
    name: 'AWS SDK for JavaScript v2',
    language: 'javascript',
    userAgents: [/\baws-sdk-nodejs\/([\w.+-]+)/],
    // AWS's page says 2.722.0; 2.574.0 was measured to speak IMDSv1 only and 2.575.0 to ask for a token.
    minimum: '2.575.0',
    fallbackOffSince: '2.1488.0',
    packages: [
      packageOf('npm', 'aws-sdk', {
        tokens: 'since',
        minimum: '2.575.0',
        fallsBack: true,
        fallbackOffSince: '2.1488.0',
      }),
    ],
    codeCalls: [
      {
        language: 'javascript',
        needle: 'MetadataService',
        // The class of the same name in @aws-sdk/ec2-metadata-service asks for a token.
        pattern: /\bnew\s+(?:AWS|aws|Aws|SDK)\.MetadataService\s*\(/g,
        why: 'MetadataService.request() of AWS SDK for JavaScript v2 sends no token, in the last release too (measured: 2.1693.0).',
      },
    ],
    upgrade: [shellStep('Update to the last release, or move to version 3.', 'npm install aws-sdk@2.1693.0')],
    notes: ["AWS's own page names 2.722.0 as the minimum."],
    sources: [
      'IMDSv2 since 2.575.0: aws/aws-sdk-js CHANGELOG.md, and measured (2.574.0, 2.575.0)',
      'Setting since 2.1488.0: aws/aws-sdk-js CHANGELOG.md',
    ],
  }),
  sdk({
    id: 'aws-sdk-js-v3',
    name: 'AWS SDK for JavaScript v3',
    language: 'javascript',
    tokens: 'always',
    packages: [
      packageOf('npm', '@smithy/credential-provider-imds', {
        tokens: 'always',
        fallsBack: true,
        fallbackOffSince: '2.1.0',
      }),
      packageOf('npm', '@aws-sdk/client-*', { tokens: 'since', minimum: '3.0.0', fallsBack: true }),
      packageOf('npm', '@aws-sdk/credential-provider-node', {
        tokens: 'since',
        minimum: '3.0.0',
        fallsBack: true,
      }),
      packageOf('npm', '@aws-sdk/credential-provider-imds', {
        tokens: 'since',
        minimum: '3.0.0',
        fallsBack: true,
      }),
    ],
    notes: [
      'The setting that turns the fallback off came with @smithy/credential-provider-imds 2.1.0.',
      'It sends no user agent, so its release is not known.',
    ],
    source: SDK_SETTINGS_PAGE,
    sources: [
      'Setting since 2.1.0: smithy-lang/smithy-typescript packages/credential-provider-imds/CHANGELOG.md',
      'IMDSv2 in 3.0.0 and not in 0.1.0-preview.1, no user agent: measured',
    ],
  }),
  sdk({
    id: 'ec2-metadata-service-js',
    name: '@aws-sdk/ec2-metadata-service',
    language: 'javascript',
    tokens: 'always',
    packages: [packageOf('npm', '@aws-sdk/ec2-metadata-service', { tokens: 'always', fallsBack: true })],
    fallbackOff: [
      textStep(
        'Then turn the fallback off where the client is created: the option ec2MetadataV1Disabled, with httpOptions.timeout. Without a timeout it waits for a token for ever.',
      ),
    ],
    notes: ['The first release with that option was not verified.'],
    source: SDK_SETTINGS_PAGE,
    sources: ['Fallback, no timeout by default, double slash: measured (3.1162.0)'],
  }),
  sdk({
    id: 'aws-sdk-php-v2',
    name: 'AWS SDK for PHP 2',
    language: 'php',
    tokens: 'never',
    fallsBack: false,
    fallbackOff: [],
    userAgents: [/\baws-sdk-php2\/([\w.+-]+)/],
    packages: [packageOf('composer', 'aws/aws-sdk-php', { below: '3.0.0', tokens: 'never' })],
    upgrade: [shellStep('Move to version 3.', "composer require 'aws/aws-sdk-php:^3.147.7'")],
    sources: [
      `Only version 3 is in the list of releases with IMDSv2: ${MINIMUM_VERSIONS_PAGE}`,
      'The last release of version 2 is of 2016, before IMDSv2 (November 2019): aws/aws-sdk-php CHANGELOG.md',
    ],
  }),
  sdk({
    id: 'aws-sdk-php',
    name: 'AWS SDK for PHP',
    language: 'php',
    userAgents: [/\baws-sdk-php\/([\w.+-]+)/],
    minimum: '3.147.7',
    packages: [
      packageOf('composer', 'aws/aws-sdk-php', {
        from: '3.0.0',
        tokens: 'since',
        minimum: '3.147.7',
        fallsBack: true,
      }),
    ],
    upgrade: [shellStep('Update the package.', "composer require 'aws/aws-sdk-php:^3.147.7'")],
    notes: [
      'The setting that turns the fallback off exists since November 2023. Its release was not verified.',
    ],
    sources: [
      `IMDSv2 since 3.147.7: ${MINIMUM_VERSIONS_PAGE}`,
      'Setting since November 2023: aws/aws-sdk-php issue 2769',
    ],
  }),
  sdk({
    id: 'aws-sdk-ruby-v3',
    name: 'AWS SDK for Ruby v3',
    language: 'ruby',
    userAgents: [/\baws-sdk-ruby3\/([\w.+-]+)/],
    minimum: '3.79.0',
    fallbackOffSince: '3.186.0',
    packages: [
      packageOf('gem', 'aws-sdk-core', {
        from: '3.0.0',
        tokens: 'since',
        minimum: '3.79.0',
        fallsBack: true,
        fallbackOffSince: '3.186.0',
      }),
    ],
    upgrade: [shellStep('Update aws-sdk-core.', 'bundle update aws-sdk-core')],
    sources: [
      `IMDSv2 since 3.79.0: ${MINIMUM_VERSIONS_PAGE}`,
      'Setting since 3.186.0: aws/aws-sdk-ruby gems/aws-sdk-core/CHANGELOG.md',
      'Fallback, user agent: measured (3.168.1)',
    ],
  }),
  sdk({
    id: 'aws-sdk-ruby-v2',
    name: 'AWS SDK for Ruby 2',
    language: 'ruby',
    userAgents: [/\baws-sdk-ruby2\/([\w.+-]+)/],
    // AWS's page names no release of version 2.
    minimum: '2.11.401',
    successor: 'version 3 (aws-sdk-core 3.79.0 or later)',
    packages: [
      packageOf('gem', 'aws-sdk-core', {
        below: '3.0.0',
        tokens: 'since',
        minimum: '2.11.401',
        fallsBack: true,
      }),
      packageOf('gem', 'aws-sdk', {
        from: '2.0.0',
        below: '3.0.0',
        tokens: 'since',
        minimum: '2.11.401',
        fallsBack: true,
      }),
    ],
    fallbackOff: [],
    upgrade: [
      shellStep(
        'Move to version 3 (aws-sdk-core 3.79.0 or later): version 2 gets no updates any more.',
        "bundle add aws-sdk-core -v '>= 3.186'",
      ),
    ],
    notes: [
      "AWS's list of releases with IMDSv2 names version 3 only. Version 2 has no setting that turns the fallback off.",
    ],
    sources: [
      'IMDSv2 since 2.11.401: aws/aws-sdk-ruby CHANGELOG.md of version 2, of 19 November 2019',
      'Fallback, user agent: aws-sdk-core/lib/aws-sdk-core/instance_profile_credentials.rb of version 2',
    ],
  }),
  sdk({
    id: 'boto2',
    name: 'boto (version 2)',
    language: 'python',
    tokens: 'never',
    fallsBack: false,
    fallbackOff: [],
    userAgents: [/^Boto\/(2\.[\w.+-]+)/],
    packages: [packageOf('pypi', 'boto', { tokens: 'never' })],
    codeCalls: [
      {
        language: 'python',
        needle: 'boto.utils',
        pattern:
          /\bboto\.utils\.get_instance_(?:metadata|identity|userdata)\b|\bfrom\s+boto\.utils\s+import\b[^\n]*\bget_instance_\w*/g,
        why: 'boto 2 sends no token in any release.',
      },
    ],
    upgrade: [shellStep('Move to boto3.', 'pip install boto3')],
    sources: ['No token request in the last release: measured (2.49.0), boto/boto boto/utils.py'],
  }),
  sdk({
    id: 'aws-sdk-ruby-v1',
    name: 'AWS SDK for Ruby v1',
    language: 'ruby',
    tokens: 'never',
    fallsBack: false,
    fallbackOff: [],
    packages: [
      packageOf('gem', 'aws-sdk-v1', { tokens: 'never' }),
      packageOf('gem', 'aws-sdk', { below: '2.0.0', tokens: 'never' }),
    ],
    codeCalls: [
      {
        language: 'ruby',
        needle: 'aws-sdk-v1',
        pattern: /\brequire\s*\(?\s*['"]aws-sdk-v1['"]/g,
        why: 'Version 1 of the AWS SDK for Ruby sends no token in any release.',
      },
    ],
    upgrade: [shellStep('Move to version 3.', "bundle add aws-sdk-core -v '>= 3.186'")],
    sources: ['No token request in the last release: measured (1.67.0)'],
  }),
];
