/**
 * The settings of the agent. Flags, environment names, `--help` and the documentation are made from this
 * schema.
 */
import * as z from 'zod';
import { AGENT_TOKEN_CHARACTERS } from '../common/agent_token.ts';
import { HOST_PORT } from '../common/host_address.ts';
import { ENDPOINT_SERVICES } from '../protocol/endpoints.ts';
import { identifier, label } from '../protocol/text.ts';

const engineSocket = z.string().regex(/^(?:auto|none|(?:unix:\/\/)?\/[^,]+(?:,\s*(?:unix:\/\/)?\/[^,]+)*)$/, {
  error: 'must be auto, none or absolute paths, such as /run/docker.sock',
});

/** The settings that `watch` and the agent share. */
export const lookSettings = z.object({
  interface: z
    .string()
    .min(1)
    .max(15)
    .default('any')
    .describe('Network interface to capture on. any: all interfaces of this network namespace.'),
  endpoints: z
    .array(z.enum(ENDPOINT_SERVICES))
    .min(1)
    .default(['imds'])
    .describe(
      'Endpoints to watch, separated by commas. imds: the instance metadata service; ecs, eks: the credentials endpoints of ECS tasks and EKS pods.',
    ),
  attribution: z
    .enum(['auto', 'ebpf', 'tracepoint', 'proc'])
    .default('auto')
    .describe(
      'Method that finds callers. ebpf: an eBPF program that needs the type information of the kernel (BTF); tracepoint: an eBPF program that does without; proc: no eBPF, but sock_diag, /proc and samples of connections. auto: the first of these that the host allows; any other: this one or an error.',
    ),
  capture_buffer_bytes: z
    .int()
    .min(524_288)
    .max(268_435_456)
    .optional()
    .describe(
      'Size of the kernel ring for waiting packets; all of it is resident memory. Where the kernel collects packets (ebpf; tracepoint with process events), each takes its own size, and 256 KiB last for 40 ms or more without the agent running. By proc, and in less than 2 MiB, each packet takes 8 KiB. Default: 4 MiB with ebpf, else 16 MiB.',
    ),
  max_namespaces: z
    .int()
    .min(0)
    .max(1_024)
    .default(32)
    .describe(
      'Most other network namespaces to capture in at one time, if their calls do not pass this one. 0: none.',
    ),
  docker_socket: engineSocket
    .default('auto')
    .describe(
      'Socket of Docker or Podman, to look up the names of containers. auto: the usual paths; none: no look-up; separate several with commas.',
    ),
  cri_socket: engineSocket
    .default('auto')
    .describe(
      'Socket of containerd or CRI-O (the Kubernetes container runtime interface), like docker_socket.',
    ),
  host_id: identifier()
    .optional()
    .describe(
      'Id of this host. Default: the EC2 instance id, else the Kubernetes node (NODE_NAME), else the machine id.',
    ),
  host_name: label(256)
    .min(1)
    .optional()
    .describe('Name of this host that people see. Default: its host name.'),
  host_account: z
    .string()
    .regex(/^\d{12}$/, 'must be a cloud account id of 12 digits')
    .optional()
    .describe('Cloud account of this host. Hosts can be grouped and filtered by it.'),
  host_region: z
    .string()
    .regex(/^[a-z]{2,}(-[a-z0-9]+)+$/, 'must be a region, such as eu-central-1')
    .optional()
    .describe('Region of this host.'),
  host_tags: z
    .array(
      z.string().regex(/^[^=]{1,128}=.{0,256}$/s, {
        error: 'must be KEY=VALUE pairs separated by commas, such as team=payments,env=prod',
      }),
    )
    .max(50)
    .optional()
    .describe(
      'Tags of this host, as KEY=VALUE separated by commas. Hosts can be grouped and filtered by them.',
    ),
});

export const agentSettings = lookSettings.extend({
  collector_url: z
    .url({ protocol: /^wss?$/, error: 'must be a WebSocket URL, such as wss://collector.example:8787' })
    .default('ws://127.0.0.1:8787')
    .describe('URL of the collector.'),
  agent_token: z
    .string()
    .min(1)
    .regex(AGENT_TOKEN_CHARACTERS, 'must be made of letters, digits and . _ ~ + / = - only')
    .optional()
    .meta({ secret: true })
    .describe(
      'Enrolment token of the collector. The agent exchanges it for its own credential, which it keeps in spool_dir. Prefer agent_token_file or the environment to a flag.',
    ),
  agent_token_file: z.string().min(1).optional().describe('File that contains only agent_token.'),
  collector_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'PEM file of the authority that signed the certificate of a wss:// collector. For a self-signed certificate, the certificate itself. Default: the public authorities.',
    ),
  tls_cert_file: z
    .string()
    .min(1)
    .optional()
    .describe("PEM file of this host's client certificate, which replaces the enrolment token."),
  tls_key_file: z.string().min(1).optional().describe('PEM file of the key of tls_cert_file.'),
  spool_dir: z
    .string()
    .min(1)
    .default('/var/lib/imdswatch/agent')
    .describe('Directory for records that the collector has not acknowledged yet.'),
  spool_max_bytes: z
    .int()
    .min(1_048_576)
    .default(268_435_456)
    .describe(
      'Largest size of the spool. Beyond it the agent deletes the oldest routine records first, and counts and reports them.',
    ),
  identity_from_imds: z
    .boolean()
    .default(true)
    .describe(
      'Read account, region, zone, type, image and tags of this host from the instance metadata service, once per boot and by IMDSv2 only. These calls are not reported.',
    ),
  detail: z
    .enum(['rolled_up', 'all'])
    .default('rolled_up')
    .describe(
      'rolled_up: routine IMDSv2 calls are summed per caller and interval. all: every call is sent in full.',
    ),
  rollup_seconds: z.int().min(1).max(3_600).default(60).describe('Interval of roll-ups.'),
  heartbeat_seconds: z
    .number()
    .min(0.25)
    .max(300)
    .default(10)
    .describe('Interval of heartbeats to the collector. May have a fraction.'),
  coverage_seconds: z
    .int()
    .min(5)
    .max(3_600)
    .default(60)
    .describe('Interval of coverage reports: whether the capture was live, and what was lost.'),
  metrics_listen: z
    .string()
    .regex(HOST_PORT, 'must be ADDRESS:PORT, such as 127.0.0.1:9464 or [::1]:9464')
    .optional()
    .describe(
      'Address and port at which the agent serves its own metrics for Prometheus (/metrics). Only loopback, unless metrics_remote is on. Default: none are served.',
    ),
  metrics_remote: z
    .boolean()
    .default(false)
    .describe(
      'Allow a metrics_listen that other machines reach. It has no encryption and no authentication: let a firewall admit Prometheus only.',
    ),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Lowest level of messages that are logged.'),
});

export type LookSettings = z.infer<typeof lookSettings>;
export type AgentSettings = z.infer<typeof agentSettings>;
