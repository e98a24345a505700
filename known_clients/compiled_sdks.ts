/** AWS's SDKs that are built into a program. Whoever runs the program may have to update the program. */
import { type Client, MINIMUM_VERSIONS_PAGE, packageOf, SDK_SETTINGS_PAGE, sdk } from './client.ts';
import { shellStep, textStep } from './step.ts';

const REMEMBERS =
  'Once a token request was refused (403, 404, 405) it stays with IMDSv1 until it is restarted.';

export const COMPILED_SDKS: readonly Client[] = [
  sdk({
    id: 'aws-sdk-go-v1',
    name: 'AWS SDK for Go v1',
    language: 'go',
    isBuiltIn: true,
    userAgents: [/\baws-sdk-go\/([\w.+-]+)/],
    minimum: '1.25.38',
    fallbackOffSince: '1.47.2',
    packages: [
      packageOf('go', 'github.com/aws/aws-sdk-go', {
        tokens: 'since',
        minimum: '1.25.38',
        fallsBack: true,
        fallbackOffSince: '1.47.2',
      }),
    ],
    upgrade: [
      shellStep(
        'Update the module and build again, or move to version 2.',
        'go get github.com/aws/aws-sdk-go@latest',
      ),
    ],
    notes: [REMEMBERS],
    sources: [
      `IMDSv2 since 1.25.38: ${MINIMUM_VERSIONS_PAGE}, aws/aws-sdk-go CHANGELOG.md`,
      'Setting since 1.47.2: aws/aws-sdk-go CHANGELOG.md; an option of the client since 1.44.221',
      'Fallback, user agent: measured (1.44.133)',
    ],
  }),
  sdk({
    id: 'aws-sdk-go-v2',
    name: 'AWS SDK for Go v2',
    language: 'go',
    isBuiltIn: true,
    userAgents: [/\baws-sdk-go-v2\/([\w.+-]+)/],
    minimum: '0.19.0',
    packages: [
      packageOf('go', 'github.com/aws/aws-sdk-go-v2', {
        tokens: 'since',
        minimum: '0.19.0',
        fallsBack: true,
      }),
      // The SDK was split into modules after 0.19.0.
      packageOf('go', 'github.com/aws/aws-sdk-go-v2/config', { tokens: 'always', fallsBack: true }),
      packageOf('go', 'github.com/aws/aws-sdk-go-v2/feature/ec2/imds', {
        tokens: 'always',
        fallsBack: true,
        fallbackOffSince: '1.13.0',
      }),
    ],
    upgrade: [
      shellStep(
        'Update the module and build again.',
        'go get github.com/aws/aws-sdk-go-v2/feature/ec2/imds@latest',
      ),
    ],
    notes: [
      'feature/ec2/imds 1.13.0 is the first release with an option that turns the fallback off. The first release that reads the environment variable was not verified. The user agent names the core module, which has release numbers of its own.',
    ],
    sources: [
      `IMDSv2 since 0.19.0: ${MINIMUM_VERSIONS_PAGE}`,
      'Option since feature/ec2/imds 1.13.0: aws/aws-sdk-go-v2 feature/ec2/imds/CHANGELOG.md',
      'Fallback, user agent: measured (core 1.17.1)',
    ],
  }),
  sdk({
    id: 'aws-sdk-java-v1',
    name: 'AWS SDK for Java 1.x',
    language: 'java',
    isBuiltIn: true,
    userAgents: [/\baws-sdk-java\/(1\.[\w.+-]+)/],
    minimum: '1.11.678',
    // All artifacts have the release of the SDK.
    packages: [
      packageOf('maven', 'com.amazonaws:aws-java-sdk*', {
        tokens: 'since',
        minimum: '1.11.678',
        fallsBack: true,
      }),
    ],
    upgrade: [textStep('Update the dependency com.amazonaws:aws-java-sdk-core to 1.11.678 or later.')],
    fallbackOff: [
      shellStep(
        'Then turn the IMDSv1 fallback off, so that it can never come back. The system property is com.amazonaws.sdk.disableEc2MetadataV1.',
        'AWS_EC2_METADATA_V1_DISABLED=true',
      ),
    ],
    notes: ['The first release with the setting that turns the fallback off was not verified.'],
    sources: [
      `IMDSv2 since 1.11.678: ${MINIMUM_VERSIONS_PAGE}, aws/aws-sdk-java issue 2171`,
      `System property: ${SDK_SETTINGS_PAGE}`,
      'No user agent for metadata in 1.7 to 1.10: aws/aws-sdk-java EC2MetadataUtils, HttpURLConnection',
    ],
  }),
  sdk({
    id: 'aws-sdk-java-v2',
    name: 'AWS SDK for Java 2.x',
    language: 'java',
    isBuiltIn: true,
    userAgents: [/\baws-sdk-java\/(2\.[\w.+-]+)/],
    minimum: '2.10.21',
    fallbackOffSince: '2.23.17',
    // All artifacts have the release of the SDK.
    packages: [
      packageOf('maven', 'software.amazon.awssdk:*', {
        tokens: 'since',
        minimum: '2.10.21',
        fallsBack: true,
        fallbackOffSince: '2.23.17',
      }),
    ],
    upgrade: [textStep('Update the dependency software.amazon.awssdk:bom to 2.23.17 or later.')],
    fallbackOff: [
      shellStep(
        'Then turn the IMDSv1 fallback off. Only credential calls follow this setting, so set the region as well: looking the region up still falls back.',
        'AWS_EC2_METADATA_V1_DISABLED=true AWS_REGION=REGION',
      ),
    ],
    sources: [
      `IMDSv2 since 2.10.21: ${MINIMUM_VERSIONS_PAGE}`,
      'Setting since 2.23.17: aws/aws-sdk-java-v2 CHANGELOG.md of 2 February 2024',
      'Region lookups still fall back: aws/aws-sdk-java-v2 pull request 4840',
    ],
  }),
  sdk({
    id: 'aws-sdk-net',
    name: 'AWS SDK for .NET',
    language: 'text',
    isBuiltIn: true,
    // The first product is the service's release, which may be empty. The core's release decides.
    userAgents: [/\baws-sdk-dotnet-core\/([\w.+-]+)/],
    minimum: '3.3.103.66',
    fallbackOffSince: '3.7.302.11',
    neverFallsBackSince: '4.0.0',
    packages: [
      packageOf('nuget', 'AWSSDK.Core', {
        tokens: 'since',
        minimum: '3.3.103.66',
        fallsBack: true,
        fallbackOffSince: '3.7.302.11',
        neverFallsBackSince: '4.0.0',
      }),
      // Packages of services have releases of their own, but the first number is that of the core.
      packageOf('nuget', 'AWSSDK.*', { from: '4.0.0', tokens: 'always', fallsBack: false }),
    ],
    upgrade: [textStep('Update AWSSDK.Core to 3.7.302.11 or later. Version 4 does not use IMDSv1 any more.')],
    notes: [
      `${REMEMBERS} AWS's own page names 3.3.634.1, which numbers a release of all packages and not AWSSDK.Core.`,
    ],
    sources: [
      'IMDSv2 since AWSSDK.Core 3.3.103.66, setting since 3.7.302.11: aws/aws-sdk-net SDK.CHANGELOG.md',
      'No IMDSv1 in version 4: aws/aws-sdk-net pull request 3664',
      'Fallback: aws/aws-sdk-net sdk/src/Core/Amazon.Util/EC2InstanceMetadata.cs',
    ],
  }),
  sdk({
    id: 'aws-sdk-cpp',
    name: 'AWS SDK for C++',
    language: 'text',
    isBuiltIn: true,
    userAgents: [/\baws-sdk-cpp\/([\w.+-]+)/],
    minimum: '1.7.229',
    upgrade: [textStep('Update the SDK to 1.7.229 or later and build again.')],
    fallbackOff: [
      textStep(
        'Then set ClientConfiguration.disableImdsV1, or build with DISABLE_IMDSV1 (first release not verified).',
      ),
    ],
    sources: [
      `IMDSv2 since 1.7.229: ${MINIMUM_VERSIONS_PAGE}`,
      'Fallback: aws/aws-sdk-cpp src/aws-cpp-sdk-core/source/internal/AWSHttpResourceClient.cpp',
    ],
  }),
  sdk({
    id: 'aws-sdk-rust',
    name: 'AWS SDK for Rust',
    language: 'text',
    isBuiltIn: true,
    tokens: 'always',
    fallsBack: false,
    userAgents: [/\baws-sdk-rust\/([\w.+-]+)/],
    packages: [packageOf('cargo', 'aws-config', { tokens: 'always', fallsBack: false })],
    fallbackOff: [],
    source: SDK_SETTINGS_PAGE,
    sources: [
      `Does not use the fallback: ${SDK_SETTINGS_PAGE}`,
      'smithy-lang/smithy-rs aws/rust-runtime/aws-config/src/imds/client.rs',
    ],
  }),
  sdk({
    id: 'rusoto',
    name: 'Rusoto',
    language: 'text',
    isBuiltIn: true,
    tokens: 'never',
    fallsBack: false,
    fallbackOff: [],
    packages: [packageOf('cargo', 'rusoto_credential', { tokens: 'never' })],
    upgrade: [shellStep('Move to the AWS SDK for Rust.', 'cargo add aws-config')],
    sources: ['No token request, and no release that adds one: rusoto/rusoto issues 1818 and 1970'],
  }),
  sdk({
    id: 'aws-sdk-kotlin',
    name: 'AWS SDK for Kotlin',
    language: 'text',
    isBuiltIn: true,
    tokens: 'always',
    fallsBack: false,
    userAgents: [/\baws-sdk-kotlin\/([\w.+-]+)/],
    packages: [packageOf('maven', 'aws.sdk.kotlin:aws-config', { tokens: 'always', fallsBack: false })],
    fallbackOff: [],
    source: SDK_SETTINGS_PAGE,
    sources: [
      `Does not use the fallback: ${SDK_SETTINGS_PAGE}`,
      'awslabs/aws-sdk-kotlin aws-runtime/aws-config imds/ImdsClient.kt',
    ],
  }),
];
