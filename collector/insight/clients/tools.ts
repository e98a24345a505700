/** Agents and tools that ask the metadata service with their own code, or with an SDK that does not say whose it is. */
import { type Client, SHARED_FALLBACK_OFF, say, shell } from './client.ts';

function tool(known: Partial<Client> & Pick<Client, 'id' | 'name'>): Client {
  return {
    tokens: 'always',
    minimum: null,
    fallsBack: null,
    fallbackOffSince: null,
    fallbackOff: [],
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
    tokens: 'since',
    minimum: '19.4',
    fallsBack: false,
    fallbackOffSince: '20.1',
    upgrade: [say('Update cloud-init to 20.1 or later, and make the image anew: it runs at boot.')],
    notes: ['From 20.1 on it has no IMDSv1 on AWS at all.'],
  }),
  tool({
    id: 's3fs',
    name: 's3fs',
    fallsBack: true,
    fallbackOff: [
      say(
        'Mount without the options imdsv1only and iam_role=auto. With iam_role=auto release 1.90 always lists roles without a token first, and fails where tokens are required.',
      ),
      {
        text: 'Try naming the role, which should leave that first call out (not verified), and mount again.',
        code: 'iam_role=ROLE',
        language: 'ini',
      },
    ],
    notes: [
      'Measured with release 1.90: one token-less call on every start, then IMDSv2. Whether a later release does without was not verified.',
    ],
  }),
  tool({
    id: 'fluent-bit',
    name: 'Fluent Bit',
    tokens: 'since',
    minimum: '1.8.8',
    fallsBack: true,
    upgrade: [say('Update Fluent Bit to 1.8.8 or later.')],
    notes: [
      'It probes with an invalid token, and where the token request fails it stays with IMDSv1 until it is restarted; no setting against that was seen.',
    ],
  }),
  tool({
    id: 'datadog-agent',
    name: 'Datadog Agent',
    fallsBack: true,
    upgrade: [
      {
        text: 'Let it use IMDSv2 (datadog.yaml), and restart it.',
        code: 'ec2_prefer_imdsv2: true',
        language: 'text',
      },
    ],
    fallbackOff: [
      {
        text: 'Let it use IMDSv2 (datadog.yaml), and restart it.',
        code: 'ec2_prefer_imdsv2: true',
        language: 'text',
      },
    ],
    notes: ['Without that setting it uses IMDSv1 only; IMDSv2 by default is announced for 7.64.0.'],
  }),
  tool({
    id: 'newrelic-infra',
    name: 'New Relic infrastructure agent',
    tokens: 'since',
    minimum: '1.11.42',
    upgrade: [say('Update the agent to 1.11.42 or later.')],
  }),
  tool({
    id: 'amazon-ssm-agent',
    name: 'Amazon SSM Agent',
    fallsBack: true,
    fallbackOffSince: '3.2.1041.0',
    upgrade: [say('Update the SSM Agent to 3.2.1041.0 or later: it has no IMDSv1 fallback any more.')],
    fallbackOff: [say('Update the SSM Agent to 3.2.1041.0 or later: it has no IMDSv1 fallback any more.')],
  }),
  tool({
    id: 'kube2iam',
    name: 'kube2iam',
    tokens: 'never',
    fallsBack: false,
    upgrade: [
      say('Move the pods to EKS Pod Identity or IAM roles for service accounts, and take kube2iam out.'),
    ],
    notes: [
      'Its own health check asks without a token, and old releases answer the token requests of pods with 403, so that the SDKs there fall back.',
    ],
  }),
  tool({
    id: 'facter',
    name: 'Facter (Puppet)',
    fallsBack: true,
    notes: [
      'Where it gets no token it reads the whole tree without one; no setting against that was seen (release 4.3).',
    ],
  }),
  tool({
    id: 'ohai',
    name: 'Ohai (Chef)',
    fallsBack: true,
    notes: ['It goes on without a token only where the token request is answered with 404 (release 16.13).'],
  }),
  tool({
    id: 'fog-aws',
    name: 'fog-aws',
    fallsBack: true,
    notes: ['No setting against the fallback was seen (release 3.15).'],
    language: 'ruby',
  }),
  tool({
    id: 'gdal',
    name: 'GDAL (/vsis3/)',
    fallsBack: true,
    notes: [
      'It falls back after a second without an answer; a setting against that is not known (release 3.6.2).',
    ],
  }),
  tool({
    id: 'rclone',
    name: 'rclone',
    fallsBack: true,
    fallbackOff: SHARED_FALLBACK_OFF,
    notes: ['It uses the AWS SDK for Go; its release decides whether that setting is read.'],
    language: 'go',
  }),
  tool({
    id: 'prometheus',
    name: 'Prometheus (ec2_sd)',
    fallsBack: true,
    fallbackOff: SHARED_FALLBACK_OFF,
    upgrade: [
      say('Update Prometheus: 2.42 carries AWS SDK for Go 1.44.133, which does not read that setting.'),
    ],
    language: 'go',
  }),
  tool({
    id: 'vm-ec2',
    name: 'VM::EC2 (Perl)',
    tokens: 'never',
    fallsBack: false,
    upgrade: [say('Replace VM::EC2::Instance::Metadata by requests of your own with a token.')],
    language: 'perl',
  }),
  tool({
    id: 'node-ec2-metadata',
    name: 'node-ec2-metadata or ec2-meta',
    tokens: 'never',
    fallsBack: false,
    upgrade: [shell('Use the metadata client of AWS SDK v3.', 'npm install @aws-sdk/ec2-metadata-service')],
    language: 'javascript',
  }),
  tool({
    id: 'cloud-guest-utils',
    name: 'ec2metadata (cloud-guest-utils)',
    fallsBack: false,
    language: 'shell',
  }),
  tool({ id: 'restic', name: 'restic', fallsBack: false, language: 'go' }),
];
