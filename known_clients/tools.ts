/**
 * Agents and tools that call the metadata service with their own code, or with an SDK that does not name the
 * tool.
 */
import { type Client, packageOf, SHARED_FALLBACK_OFF } from './client.ts';
import { shellStep, textStep } from './step.ts';

function tool(known: Partial<Client> & Pick<Client, 'id' | 'name' | 'sources'>): Client {
  return {
    tokens: 'always',
    minimum: null,
    fallsBack: null,
    fallbackOffSince: null,
    neverFallsBackSince: null,
    isBuiltIn: false,
    userAgents: [],
    programs: [],
    packages: [],
    fallbackOff: [],
    successor: null,
    upgrade: [],
    notes: [],
    language: 'text',
    source: null,
    ...known,
  };
}

export const TOOLS: readonly Client[] = [
  tool({
    id: 'cloud-init',
    name: 'cloud-init',
    userAgents: [/^Cloud-Init\/([\w.+-]+)/i],
    programs: [/(^|\/)(cloud-init|cloud-id)$/],
    tokens: 'since',
    // `git describe` of the change; the first release that has it is 19.4. Distributions built it earlier.
    minimum: '19.3-30',
    fallsBack: true,
    // The first release without the fallback is 20.2; 20.1 itself still falls back.
    neverFallsBackSince: '20.1-9',
    upgrade: [
      textStep('Update cloud-init to 20.2 or later, and build the image again: cloud-init runs at boot.'),
    ],
    notes: [
      'Releases from 19.4 on ask for a token. Those before 20.2 fall back to IMDSv1; later ones never do on AWS. A number after a hyphen counts the commits after a release.',
    ],
    sources: [
      'IMDSv2: canonical/cloud-init ChangeLog of 19.4 ("ec2: Add support for AWS IMDS v2"), build 19.3-30',
      'No fallback: canonical/cloud-init commit 1f860e5ac, build 20.1-9, first release 20.2',
      'User agent: measured (22.4.2)',
    ],
  }),
  tool({
    id: 's3fs',
    name: 's3fs',
    userAgents: [/^s3fs\/([\w.+-]+)/],
    programs: [/(^|\/)s3fs$/],
    fallsBack: true,
    fallbackOff: [
      textStep(
        'Mount without the options imdsv1only and iam_role=auto. With iam_role=auto, release 1.90 always lists the roles without a token first, and fails where tokens are required.',
      ),
      {
        text: 'Try to name the role, which should avoid that first call (not verified), and mount again.',
        code: 'iam_role=ROLE',
        language: 'ini',
      },
    ],
    notes: [
      'Release 1.90 was measured: one call without a token at every start, then IMDSv2. Later releases were not verified.',
    ],
    sources: ['One call without a token first: measured (1.90)'],
  }),
  tool({
    id: 'fluent-bit',
    name: 'Fluent Bit',
    programs: [/(^|\/)(td-agent-bit|fluent-bit|aws-for-fluent-bit)$/],
    tokens: 'since',
    minimum: '1.8.8',
    fallsBack: true,
    upgrade: [textStep('Update Fluent Bit to 1.8.8 or later.')],
    notes: [
      'It probes with an invalid token. If the token request fails, it stays with IMDSv1 until it is restarted. No setting that prevents this was found.',
    ],
    sources: [
      'IMDSv2 since 1.8.8: fluent/fluent-bit-docs pull request 610',
      'Fallback: fluent/fluent-bit src/aws/flb_aws_imds.c',
    ],
  }),
  tool({
    id: 'datadog-agent',
    name: 'Datadog Agent',
    programs: [/^\/opt\/datadog-agent\/|(^|\/)datadog-agent$/],
    tokens: 'since',
    minimum: '7.64.0',
    fallsBack: true,
    upgrade: [
      textStep('Update the agent to 7.64.0 or later, which uses IMDSv2 by default.'),
      {
        text: 'Or turn IMDSv2 on in datadog.yaml, and restart the agent.',
        code: 'ec2_prefer_imdsv2: true',
        language: 'text',
      },
    ],
    notes: [
      'Before 7.64.0 it uses IMDSv1 unless that setting is on; some releases call IMDSv1 first, and take a token after a 401. From 7.64.0 on it falls back when it gets no token within 300 ms (ec2_metadata_timeout).',
    ],
    sources: [
      'IMDSv2 by default since 7.64.0: DataDog/documentation, frequently asked questions on EC2 host names',
      'Fallback: DataDog/datadog-agent pkg/util/ec2/imds_helpers.go',
    ],
  }),
  tool({
    id: 'newrelic-infra',
    name: 'New Relic infrastructure agent',
    programs: [/(^|\/)newrelic-infra(-service)?$/],
    tokens: 'since',
    minimum: '1.11.42',
    upgrade: [textStep('Update the agent to 1.11.42 or later.')],
    sources: ['IMDSv2 since 1.11.42: release notes of the infrastructure agent, docs.newrelic.com'],
  }),
  tool({
    id: 'amazon-ssm-agent',
    name: 'Amazon SSM Agent',
    programs: [/(^|\/)(amazon-ssm-agent|ssm-agent-worker)$/],
    fallsBack: true,
    neverFallsBackSince: '3.2.1041.0',
    upgrade: [textStep('Update the SSM Agent to 3.2.1041.0 or later, which has no IMDSv1 fallback.')],
    sources: ['No fallback since 3.2.1041.0: aws/amazon-ssm-agent RELEASENOTES.md'],
  }),
  tool({
    id: 'kube2iam',
    name: 'kube2iam',
    programs: [/(^|\/)kube2iam$/],
    tokens: 'never',
    fallsBack: false,
    upgrade: [
      textStep('Move the pods to EKS Pod Identity or IAM roles for service accounts, and remove kube2iam.'),
    ],
    notes: [
      'Its own health check calls without a token. Old releases answer the token requests of pods with 403, so that their SDKs fall back to IMDSv1.',
    ],
    sources: [
      'Health check without a token: jtblin/kube2iam server/server.go',
      'Token requests refused: jtblin/kube2iam issues 241, 300, 345',
    ],
  }),
  tool({
    id: 'facter',
    name: 'Facter (Puppet)',
    programs: [/(^|\/)(facter|puppet)$/],
    fallsBack: true,
    notes: [
      'If it gets no token, it reads all metadata without one. No setting that prevents this was found (release 4.3).',
    ],
    sources: ['Fallback: measured (4.3.0), facter lib/facter/resolvers/ec2.rb'],
  }),
  tool({
    id: 'ohai',
    name: 'Ohai (Chef)',
    programs: [/(^|\/)(ohai|chef-client)$/],
    fallsBack: true,
    notes: ['It continues without a token only if the token request is answered with 404 (release 16.13).'],
    sources: ['Fallback after 404 only: measured (16.13.0), chef/ohai lib/ohai/mixin/ec2_metadata.rb'],
  }),
  tool({
    id: 'fog-aws',
    name: 'fog-aws',
    packages: [packageOf('gem', 'fog-aws', { tokens: 'since', minimum: '3.6.4', fallsBack: true })],
    tokens: 'since',
    minimum: '3.6.4',
    fallsBack: true,
    upgrade: [shellStep('Update fog-aws.', 'bundle update fog-aws')],
    notes: ['No setting that turns the fallback off was found (release 3.15).'],
    language: 'ruby',
    sources: [
      'IMDSv2 since 3.6.4: fog/fog-aws CHANGELOG.md, pull request 559',
      'Fallback: measured (3.15.0)',
    ],
  }),
  tool({
    id: 'gdal',
    name: 'GDAL (/vsis3/)',
    fallsBack: true,
    notes: [
      'It falls back after a second without an answer. No setting that prevents this is known (release 3.6.2).',
    ],
    sources: ['IMDSv2: OSGeo/gdal pull request 2550', 'Fallback: measured (3.6.2)'],
  }),
  tool({
    id: 'rclone',
    name: 'rclone',
    userAgents: [/^rclone\/v?([\w.+-]*)/],
    programs: [/(^|\/)rclone$/],
    fallsBack: true,
    fallbackOff: SHARED_FALLBACK_OFF,
    notes: ['It uses the AWS SDK for Go, whose release decides whether that setting is read.'],
    language: 'go',
    sources: ['Fallback, user agent: measured (1.60.1)'],
  }),
  tool({
    id: 'vm-ec2',
    name: 'VM::EC2 (Perl)',
    tokens: 'never',
    fallsBack: false,
    codeCalls: [
      {
        language: 'perl',
        needle: 'VM::EC2',
        pattern: /\bVM::EC2::Instance::Metadata\b/g,
        why: 'VM::EC2::Instance::Metadata sends no token.',
      },
    ],
    upgrade: [textStep('Replace VM::EC2::Instance::Metadata with requests of your own that send a token.')],
    language: 'perl',
    sources: ['No token request: measured (1.28)'],
  }),
  tool({
    id: 'node-ec2-metadata',
    name: 'node-ec2-metadata or ec2-meta',
    packages: [
      packageOf('npm', 'node-ec2-metadata', { tokens: 'never' }),
      packageOf('npm', 'ec2-meta', { tokens: 'never' }),
    ],
    tokens: 'never',
    fallsBack: false,
    codeCalls: [
      {
        language: 'javascript',
        needle: 'ec2-meta',
        pattern: /(?:\brequire\s*\(\s*|\bfrom\s+|\bimport\s+)['"](?:node-ec2-metadata|ec2-meta)['"]/g,
        why: 'This package sends no token in any release.',
      },
    ],
    upgrade: [
      shellStep('Use the metadata client of AWS SDK v3.', 'npm install @aws-sdk/ec2-metadata-service'),
    ],
    language: 'javascript',
    sources: ['No token request: measured (node-ec2-metadata 0.0.5), source of ec2-meta 0.1.1'],
  }),
  tool({
    id: 'cloud-guest-utils',
    name: 'ec2metadata (cloud-guest-utils)',
    programs: [/(^|\/)ec2metadata$/],
    fallsBack: false,
    language: 'shell',
    sources: ['Token, no fallback: measured (0.33)'],
  }),
  tool({
    programs: [/(^|\/)restic$/],
    id: 'restic',
    name: 'restic',
    fallsBack: false,
    language: 'go',
    sources: ['Token, no fallback: measured (0.14.0)'],
  }),
  tool({
    id: 'aws-node-termination-handler',
    name: 'AWS Node Termination Handler',
    programs: [/(^|\/)(aws-)?node-termination-handler$/],
    tokens: 'since',
    minimum: '1.3.0',
    upgrade: [textStep('Update the handler to 1.3.0 or later.')],
    sources: ['IMDSv2 since 1.3.0: aws/aws-node-termination-handler issue 22'],
    language: 'go',
  }),
];
