/**
 * Agents and tools that call the metadata service with their own code, or with an SDK that does not name the
 * tool.
 */
import { type Client, packageOf, SHARED_FALLBACK_OFF } from './client.ts';
import { shellStep, textStep } from './step.ts';

function tool(known: Partial<Client> & Pick<Client, 'id' | 'name'>): Client {
  return {
    tokens: 'always',
    minimum: null,
    fallsBack: null,
    fallbackOffSince: null,
    neverFallsBackSince: null,
    userAgents: [],
    programs: [],
    packages: [],
    fallbackOff: [],
    upgrade: [],
    notes: [],
    language: 'text',
    source: null,
    sources: [],
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
    minimum: '19.4',
    fallsBack: false,
    fallbackOffSince: '20.1',
    upgrade: [
      textStep('Update cloud-init to 20.1 or later, and build the image again: cloud-init runs at boot.'),
    ],
    notes: ['From 20.1 on it does not use IMDSv1 on AWS.'],
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
  }),
  tool({
    id: 'datadog-agent',
    name: 'Datadog Agent',
    programs: [/^\/opt\/datadog-agent\/|(^|\/)datadog-agent$/],
    fallsBack: true,
    upgrade: [
      {
        text: 'Turn IMDSv2 on in datadog.yaml, and restart the agent.',
        code: 'ec2_prefer_imdsv2: true',
        language: 'text',
      },
    ],
    fallbackOff: [
      {
        text: 'Turn IMDSv2 on in datadog.yaml, and restart the agent.',
        code: 'ec2_prefer_imdsv2: true',
        language: 'text',
      },
    ],
    notes: ['Without that setting it uses IMDSv1 only. IMDSv2 by default is announced for 7.64.0.'],
  }),
  tool({
    id: 'newrelic-infra',
    name: 'New Relic infrastructure agent',
    programs: [/(^|\/)newrelic-infra(-service)?$/],
    tokens: 'since',
    minimum: '1.11.42',
    upgrade: [textStep('Update the agent to 1.11.42 or later.')],
  }),
  tool({
    id: 'amazon-ssm-agent',
    name: 'Amazon SSM Agent',
    programs: [/(^|\/)(amazon-ssm-agent|ssm-agent-worker)$/],
    fallsBack: true,
    fallbackOffSince: '3.2.1041.0',
    upgrade: [textStep('Update the SSM Agent to 3.2.1041.0 or later, which has no IMDSv1 fallback.')],
    fallbackOff: [textStep('Update the SSM Agent to 3.2.1041.0 or later, which has no IMDSv1 fallback.')],
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
  }),
  tool({
    id: 'facter',
    name: 'Facter (Puppet)',
    programs: [/(^|\/)(facter|puppet)$/],
    fallsBack: true,
    notes: [
      'If it gets no token, it reads all metadata without one. No setting that prevents this was found (release 4.3).',
    ],
  }),
  tool({
    id: 'ohai',
    name: 'Ohai (Chef)',
    programs: [/(^|\/)(ohai|chef-client)$/],
    fallsBack: true,
    notes: ['It continues without a token only if the token request is answered with 404 (release 16.13).'],
  }),
  tool({
    id: 'fog-aws',
    name: 'fog-aws',
    packages: [packageOf('gem', 'fog-aws', { tokens: 'always', fallsBack: true })],
    fallsBack: true,
    notes: ['No setting that turns the fallback off was found (release 3.15).'],
    language: 'ruby',
  }),
  tool({
    id: 'gdal',
    name: 'GDAL (/vsis3/)',
    fallsBack: true,
    notes: [
      'It falls back after a second without an answer. No setting that prevents this is known (release 3.6.2).',
    ],
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
  }),
  tool({
    id: 'prometheus',
    name: 'Prometheus (ec2_sd)',
    programs: [/(^|\/)prometheus$/],
    fallsBack: true,
    fallbackOff: SHARED_FALLBACK_OFF,
    upgrade: [
      textStep(
        'Update Prometheus: release 2.42 contains AWS SDK for Go 1.44.133, which does not read that setting.',
      ),
    ],
    language: 'go',
  }),
  tool({
    id: 'vm-ec2',
    name: 'VM::EC2 (Perl)',
    tokens: 'never',
    fallsBack: false,
    upgrade: [textStep('Replace VM::EC2::Instance::Metadata with requests of your own that send a token.')],
    language: 'perl',
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
    upgrade: [
      shellStep('Use the metadata client of AWS SDK v3.', 'npm install @aws-sdk/ec2-metadata-service'),
    ],
    language: 'javascript',
  }),
  tool({
    id: 'cloud-guest-utils',
    name: 'ec2metadata (cloud-guest-utils)',
    programs: [/(^|\/)ec2metadata$/],
    fallsBack: false,
    language: 'shell',
  }),
  tool({
    programs: [/(^|\/)restic$/],
    id: 'restic',
    name: 'restic',
    fallsBack: false,
    language: 'go',
  }),
];
