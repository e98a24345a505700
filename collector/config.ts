/**
 * Every setting of the collector; flags, environment names, `--help` and the documentation come from here.
 */
import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import * as z from 'zod';
import { AGENT_TOKEN_CHARACTERS, agentTokenOf, MIN_AGENT_TOKEN_CHARACTERS } from '../common/agent_token.ts';
import { HOST_PORT, type HostPort, hostPortOf, isLoopback } from '../common/host_address.ts';
import { OperatorError } from '../common/operator_error.ts';
import { checkProxySettings, proxyShape } from './access_settings.ts';
import { backstageShape, checkBackstageSettings } from './backstage_settings.ts';
import { MISSING_HEARTBEATS } from './ingest/pacing.ts';
import { type OwnerRule, ownerRule } from './insight/owner_rules.ts';
import { checkOidcSettings, oidcShape } from './oidc_settings.ts';
import { databaseUrlText, ownerRuleText, placeText, releasePatternText } from './setting_texts.ts';
import { WorkloadRules } from './store/workload_rules.ts';

/** Settings by which callers become workloads. Commands that read the store have them too. */
export const workloadShape = {
  helper_programs: z
    .array(
      z.string().regex(/^[^/\s]{1,64}$/, 'must be names of programs without a directory, such as fetch-meta'),
    )
    .default([])
    .describe(
      'Programs that are not the workload, besides curl, wget, aws and others that are built in, separated by commas. The workload is the script, unit or cron entry that runs them. Applies to calls that are stored from now on.',
    ),
  release_patterns: z
    .array(releasePatternText)
    .default([])
    .describe(
      'Paths in which {release} stands for a part that changes with a release, such as /srv/shop/{release}/bin, separated by commas. A * stands for any other part of a name. Versions, snap revisions and many deployment ids are built in.',
    ),
};

/** A setting of `imdswatch store` that names a store. */
export const storePlace = placeText.meta({ secret: true });

export const collectorSettings = z.object({
  listen: z
    .string()
    .regex(HOST_PORT, 'must be ADDRESS:PORT, such as 127.0.0.1:8787 or [::1]:8787')
    .default('127.0.0.1:8787')
    .describe('Address and port to listen on, for agents and people. Port 0 selects a free port.'),
  public_url: z
    .url({ protocol: /^https?$/, error: 'must be a URL, such as https://imdswatch.example.com' })
    .optional()
    .describe(
      'URL of the page, for links in alerts and for signing in. Default: the address that the collector listens on.',
    ),
  data_dir: z
    .string()
    .min(1)
    .default('/var/lib/imdswatch/collector')
    .describe('Directory of the embedded store. "imdswatch enforce" keeps its plans in plans below it.'),
  store: databaseUrlText
    .optional()
    .meta({ secret: true })
    .describe(
      'PostgreSQL database (15 or later) instead of the embedded store: postgres://USER@HOST:PORT,HOST:PORT/DATABASE?password_file=FILE. Several collectors may share it. Parameters: password_file, sslmode, sslrootcert, sslcert, sslkey, host. TLS with verification is the default for hosts of other machines. See docs/postgresql.md. Default: the embedded store in data_dir.',
    ),
  store_reader: databaseUrlText
    .optional()
    .meta({ secret: true })
    .describe(
      'Standbys of the database in store, for the questions of people: page, API, exports, "offenders" and "readiness". Each host is one standby; the address is written like that of store. Ingest, access, alerts and enforcement never use them. Default: the primary answers all questions.',
    ),
  store_reader_max_lag_seconds: z
    .number()
    .min(1)
    .max(3600)
    .default(60)
    .describe(
      'Seconds by which the data of a standby may be older than that of the primary. Beyond it the primary answers.',
    ),
  tls_cert_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Certificate (PEM) of the collector, followed by its intermediates. It is read again when it changes.',
    ),
  tls_key_file: z.string().min(1).optional().describe('Private key (PEM) of tls_cert_file.'),
  tls_client_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Certificates (PEM) of the authorities that sign agent certificates. An agent with a certificate for its host id needs no token.',
    ),
  tls_self_signed: z
    .boolean()
    .default(false)
    .describe(
      'Create a self-signed certificate in data_dir, for first tries. Agents and browsers must be configured to trust it.',
    ),
  insecure_http: z
    .boolean()
    .default(false)
    .describe(
      'Listen without TLS on an address that other machines can reach. A proxy in front of the collector must encrypt.',
    ),
  agent_token: z
    .string()
    .min(MIN_AGENT_TOKEN_CHARACTERS, `must have at least ${MIN_AGENT_TOKEN_CHARACTERS} characters`)
    .regex(AGENT_TOKEN_CHARACTERS, 'must be made of letters, digits and . _ ~ + / = - only')
    .optional()
    .meta({ secret: true })
    .describe(
      'An enrolment token, in addition to those of "imdswatch token create". Prefer agent_token_file or the environment to a flag.',
    ),
  agent_token_file: z.string().min(1).optional().describe('File that contains agent_token and nothing else.'),
  agent_token_host: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'Makes agent_token the credential of the host with this id, as "imdswatch up" does. It then enrols no other host.',
    ),
  ...proxyShape,
  ...oidcShape,
  silent_after_seconds: z
    .int()
    .min(30)
    .max(604_800)
    .default(300)
    .describe('A host is silent when it sent no heartbeat for this number of seconds.'),
  readiness_window_days: z
    .int()
    .min(1)
    .max(400)
    .default(14)
    .describe(
      'Readiness window: days that a host must have been watched without an IMDSv1 call to be ready for HttpTokens=required.',
    ),
  readiness_max_missing_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .default(60)
    .describe(
      'Tolerance: seconds of the readiness window that may be unwatched in all, for restarts. Losses are never tolerated.',
    ),
  max_connections: z
    .int()
    .min(1)
    .max(100_000)
    .default(1024)
    .describe('Maximum number of connected agents. More are refused and try again later.'),
  max_unauthenticated: z
    .int()
    .min(16)
    .max(100_000)
    .default(1024)
    .describe(
      'Maximum number of connections that have shown no credential. Beyond it a new connection replaces the one that has made no progress for the longest time.',
    ),
  max_unauthenticated_per_address: z
    .int()
    .min(1)
    .max(100_000)
    .default(64)
    .describe(
      'Maximum number of such connections from one address. Behind a load balancer all connections have its address: set this to max_unauthenticated, or name the load balancer in proxy_trusted_addresses if it sends X-Forwarded-For.',
    ),
  idle_seconds: z
    .int()
    .min(5)
    .max(3600)
    .default(60)
    .describe('Seconds without any data after which a connection is closed.'),
  agent_heartbeat_seconds: z
    .number()
    .min(1)
    .max(300)
    .optional()
    .describe(
      "Interval of heartbeats that agents are told when they connect, and when it changes. An agent whose own heartbeat_seconds is longer keeps it. Default: the agents' own interval for up to 1,000 agents of this collector and 16,000 of all collectors, then one second for each 100 or 1,667 of them, the longer of both, at most 60 and at most a third of silent_after_seconds.",
    ),
  drain_seconds: z
    .number()
    .min(0)
    .max(900)
    .default(0)
    .describe(
      'Seconds over which a collector that ends hands its agents over to other collectors behind the same load balancer. /readyz answers 503 from the first moment. 0: all connections are closed at once, as with a single collector.',
    ),
  ...workloadShape,
  owner_rules: z
    .array(ownerRuleText)
    .default([])
    .describe(
      'Owners of workloads, separated by commas; the first rule that matches counts. Rules of "imdswatch owners" and of the page come before them. namespace:PATTERN=OWNER, and so for unit, image and path (script or executable); a * stands for any text. account:PATTERN=OWNER, tag:KEY=OWNER, tag:KEY:PATTERN=OWNER: all hosts of the workload must match. tag:KEY: the value of this tag is the owner.',
    ),
  ...backstageShape,
  metrics_group_tag: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe(
      'Key of a tag by whose values /metrics counts hosts by verdict, and IMDSv1 calls, so that each team sees its own: at most 50 values, other and none. Default: none.',
    ),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Lowest level of the messages that are logged.'),
});

export type CollectorSettings = z.infer<typeof collectorSettings>;

/** Returns the rules by which callers become workloads. */
export function workloadRules(
  settings: Pick<CollectorSettings, 'helper_programs' | 'release_patterns'>,
): WorkloadRules {
  return new WorkloadRules({
    helperPrograms: settings.helper_programs,
    releasePatterns: settings.release_patterns,
  });
}

/** Returns the rules by which workloads get their owner. */
export function ownerRules({ owner_rules }: Pick<CollectorSettings, 'owner_rules'>): OwnerRule[] {
  return owner_rules.map(ownerRule);
}

/** Returns host and port of `listen`. The host has no brackets. */
export function listenAddress({ listen }: Pick<CollectorSettings, 'listen'>): HostPort {
  return hostPortOf(listen);
}

/** Tells whether listening there means every address of this machine, however the address is spelled. */
export function isAnyAddress(host: string): boolean {
  if (!isIPv6(host)) return host === '0.0.0.0';
  const { hostname } = new URL(`http://[${host}]`);
  return hostname === '[::]' || hostname === '[::ffff:0:0]';
}

/** Tells whether the collector serves TLS itself. */
export function servesTls(settings: Pick<CollectorSettings, 'tls_cert_file' | 'tls_self_signed'>): boolean {
  return settings.tls_cert_file !== undefined || settings.tls_self_signed;
}

/**
 * Checks settings that depend on one another. Without TLS the collector must not be reachable from other
 * machines, unless `insecure_http` states that something in front of it encrypts. Throws `OperatorError`
 * (exit code 2).
 */
export function checkCollectorSettings(settings: CollectorSettings): void {
  const { tls_cert_file, tls_key_file, tls_client_ca_file, tls_self_signed, listen } = settings;
  const refuse = (message: string) => {
    throw new OperatorError(2, message);
  };
  if ((tls_cert_file === undefined) !== (tls_key_file === undefined)) {
    refuse('tls_cert_file and tls_key_file belong together: set both, or neither.');
  }
  if (tls_self_signed && tls_cert_file !== undefined) {
    refuse(
      'tls_self_signed creates a certificate, and tls_cert_file names another one: set only one of the two.',
    );
  }
  if (tls_client_ca_file !== undefined && !servesTls(settings)) {
    refuse('tls_client_ca_file needs TLS: set tls_cert_file and tls_key_file too.');
  }
  if (!servesTls(settings) && !settings.insecure_http && !isLoopback(listenAddress(settings).host)) {
    refuse(
      `listen is "${listen}", which other machines can reach, and there is no TLS: tokens and findings would be sent unencrypted. Set tls_cert_file and tls_key_file (or tls_self_signed for a first try), or insecure_http where a proxy in front of the collector encrypts.`,
    );
  }
  const { agent_heartbeat_seconds: heartbeat = 0, silent_after_seconds: silentAfter } = settings;
  if (heartbeat * MISSING_HEARTBEATS > silentAfter) {
    refuse(
      `agent_heartbeat_seconds is ${heartbeat}, and a host would be silent after ${silentAfter} s (silent_after_seconds). Set silent_after_seconds to ${Math.ceil(heartbeat * MISSING_HEARTBEATS)} or more, so that ${MISSING_HEARTBEATS} heartbeats may be missing.`,
    );
  }
  if (settings.store_reader !== undefined && settings.store === undefined) {
    refuse(
      'store_reader names standbys of the database in store, and store is not set: set both, or neither.',
    );
  }
  if (settings.agent_token_host !== undefined && configuredAgentToken(settings) === null) {
    refuse('agent_token_host needs agent_token: set the token that is the credential of that host.');
  }
  checkProxySettings(settings);
  checkOidcSettings(settings);
  checkBackstageSettings(settings);
}

/**
 * Returns the enrolment token of the configuration; null where none is set. Throws `OperatorError` (exit code
 * 2) where it cannot be read or is too short.
 */
export function configuredAgentToken(
  settings: Pick<CollectorSettings, 'agent_token' | 'agent_token_file'>,
): string | null {
  return agentTokenOf(settings, (file) => readFileSync(file, 'utf8'));
}
