/** Every setting of the agent; flags, environment names, `--help` and the documentation come from here. */
import * as z from 'zod';
import { AGENT_TOKEN_CHARACTERS } from '../common/agent_token.ts';
import { ENDPOINT_SERVICES } from '../protocol/endpoints.ts';
import { identifier, label } from '../protocol/text.ts';

const engineSocket = z.string().regex(/^(?:auto|none|(?:unix:\/\/)?\/[^,]+(?:,\s*(?:unix:\/\/)?\/[^,]+)*)$/, {
  error: 'must be auto, none or absolute paths, such as /run/docker.sock',
});

/** What `watch` and the agent share: how to look. */
export const lookSettings = z.object({
  interface: z
    .string()
    .min(1)
    .max(15)
    .default('any')
    .describe('Network interface to capture on; any: all of this network namespace.'),
  endpoints: z
    .array(z.enum(ENDPOINT_SERVICES))
    .min(1)
    .default(['imds'])
    .describe(
      'Whose endpoints to watch, with commas. imds: the instance metadata service; ecs, eks: credentials of ECS tasks, of EKS pods.',
    ),
  attribution: z
    .enum(['auto', 'ebpf', 'proc'])
    .default('auto')
    .describe('How callers are found. auto: eBPF where it is allowed, else sock_diag and /proc.'),
  capture_buffer_bytes: z
    .int()
    .min(524_288)
    .max(268_435_456)
    .optional()
    .describe(
      'Kernel ring for packets that wait for us, 8 KiB each; all of it is resident memory. Default: 4 MiB with eBPF, 16 MiB without, where looking for a caller keeps packets waiting.',
    ),
  max_namespaces: z
    .int()
    .min(0)
    .max(1_024)
    .default(32)
    .describe('Other network namespaces to capture in at one time, where calls do not pass this one.'),
  docker_socket: engineSocket
    .default('auto')
    .describe(
      'Socket of Docker or Podman, which name containers. auto: the usual places; none: not asked; several with commas.',
    ),
  cri_socket: engineSocket
    .default('auto')
    .describe('The same for containerd and CRI-O (the Kubernetes container runtime interface).'),
  host_id: identifier()
    .optional()
    .describe(
      'Name of this host for machines; else the EC2 instance id, the Kubernetes node (NODE_NAME), the machine id.',
    ),
  host_name: label(256).min(1).optional().describe('Name of this host for people; else its host name.'),
  host_account: z
    .string()
    .regex(/^\d{12}$/, 'must be a cloud account id of 12 digits')
    .optional()
    .describe('Cloud account that this host belongs to; hosts are grouped and filtered by it.'),
  host_region: z
    .string()
    .regex(/^[a-z]{2,}(-[a-z0-9]+)+$/, 'must be a region, such as eu-central-1')
    .optional()
    .describe('Region that this host is in.'),
  host_tags: z
    .array(
      z.string().regex(/^[^=]{1,128}=.{0,256}$/s, {
        error: 'must be KEY=VALUE pairs with commas in between, such as team=payments,env=prod',
      }),
    )
    .max(50)
    .optional()
    .describe('Tags of this host, KEY=VALUE with commas; hosts are grouped and filtered by them.'),
});

export const agentSettings = lookSettings.extend({
  collector_url: z
    .url({ protocol: /^wss?$/, error: 'must be a WebSocket URL, such as wss://collector.example:8787' })
    .default('ws://127.0.0.1:8787')
    .describe('Where the collector listens.'),
  agent_token: z
    .string()
    .min(1)
    .regex(AGENT_TOKEN_CHARACTERS, 'must be made of letters, digits and . _ ~ + / = - only')
    .optional()
    .meta({ secret: true })
    .describe(
      'Enrolment token of the collector: with it the agent is given a credential of its own, kept in spool_dir. Prefer agent_token_file or the environment to a flag.',
    ),
  agent_token_file: z.string().min(1).optional().describe('File that holds agent_token, and nothing else.'),
  collector_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'PEM file of the authority that signed the certificate of a wss:// collector; of a self-signed one, the certificate itself. Default: the public authorities.',
    ),
  tls_cert_file: z
    .string()
    .min(1)
    .optional()
    .describe("PEM file of this host's client certificate, in place of a token."),
  tls_key_file: z.string().min(1).optional().describe('PEM file of its key.'),
  spool_dir: z
    .string()
    .min(1)
    .default('/var/lib/imdswatch/agent')
    .describe('Directory for what the collector has not acknowledged yet.'),
  spool_max_bytes: z
    .int()
    .min(1_048_576)
    .default(268_435_456)
    .describe('Bound on the spool. Beyond it the oldest routine findings go first, counted and reported.'),
  identity_from_imds: z
    .boolean()
    .default(true)
    .describe(
      'Ask the instance metadata service once a boot, by IMDSv2 only, for account, region, zone, type, image and tags of this host. Our own calls are no findings.',
    ),
  detail: z
    .enum(['rolled_up', 'all'])
    .default('rolled_up')
    .describe(
      'rolled_up: routine IMDSv2 calls are counted per caller and interval. all: every call travels whole.',
    ),
  rollup_seconds: z.int().min(1).max(3_600).default(60).describe('Interval of those roll-ups.'),
  heartbeat_seconds: z.int().min(1).max(300).default(10).describe('Interval of heartbeats to the collector.'),
  coverage_seconds: z
    .int()
    .min(5)
    .max(3_600)
    .default(60)
    .describe('Interval of the reports whether capture was live and what was lost.'),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least severe messages to log.'),
});

export type LookSettings = z.infer<typeof lookSettings>;
export type AgentSettings = z.infer<typeof agentSettings>;
