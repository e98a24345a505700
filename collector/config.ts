/**
 * Every setting of the collector; flags, environment names, `--help` and the documentation come from here.
 */
import { readFileSync } from 'node:fs';
import { isIP, isIPv6 } from 'node:net';
import * as z from 'zod';
import { AGENT_TOKEN_CHARACTERS, agentTokenOf, MIN_AGENT_TOKEN_CHARACTERS } from '../common/agent_token.ts';
import { OperatorError } from '../common/operator_error.ts';

const network = z.string().refine((text) => {
  const [address = '', prefix, ...rest] = text.split('/');
  const bits = isIPv6(address) ? 128 : 32;
  const prefixIsGood = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
  return isIP(address) !== 0 && prefixIsGood && rest.length === 0;
}, 'must be addresses or networks, such as 10.0.0.5 or 10.0.0.0/24');

export const collectorSettings = z.object({
  listen: z
    .string()
    .regex(
      /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/,
      'must be ADDRESS:PORT, such as 127.0.0.1:8787 or [::1]:8787',
    )
    .default('127.0.0.1:8787')
    .describe('Address and port to listen on, for agents and people. Port 0 takes a free one.'),
  public_url: z
    .url({ protocol: /^https?$/, error: 'must be a URL, such as https://imdswatch.example.com' })
    .optional()
    .describe(
      'Where people find the collector, for links in alerts and to sign in. Default: where it listens.',
    ),
  data_dir: z
    .string()
    .min(1)
    .default('/var/lib/imdswatch/collector')
    .describe('Directory of the embedded store.'),
  tls_cert_file: z
    .string()
    .min(1)
    .optional()
    .describe('Certificate (PEM) to serve with, followed by its intermediates. Read again when it changes.'),
  tls_key_file: z.string().min(1).optional().describe('Private key (PEM) of tls_cert_file.'),
  tls_client_ca_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Certificates (PEM) of who signs for agents. An agent with a certificate for its host id needs no token.',
    ),
  tls_self_signed: z
    .boolean()
    .default(false)
    .describe(
      'Make a certificate of our own in data_dir, for first tries. Agents and browsers must be told to trust it.',
    ),
  insecure_http: z
    .boolean()
    .default(false)
    .describe(
      'Listen without TLS on an address that others can reach: something in front of it must encrypt.',
    ),
  agent_token: z
    .string()
    .min(MIN_AGENT_TOKEN_CHARACTERS, `must have at least ${MIN_AGENT_TOKEN_CHARACTERS} characters`)
    .regex(AGENT_TOKEN_CHARACTERS, 'must be made of letters, digits and . _ ~ + / = - only')
    .optional()
    .meta({ secret: true })
    .describe(
      'An enrolment token, besides those that "imdswatch token create" makes. Prefer agent_token_file or the environment to a flag.',
    ),
  agent_token_file: z.string().min(1).optional().describe('File that holds agent_token, and nothing else.'),
  agent_token_host: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe(
      'Makes agent_token the credential of the host with this id, which enrols nobody, as in "imdswatch up".',
    ),
  proxy_user_header: z
    .string()
    .regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header, such as X-Forwarded-User')
    .optional()
    .describe(
      'Header in which a reverse proxy says who has signed in there. The proxy must remove what visitors send.',
    ),
  proxy_trusted_addresses: z
    .array(network)
    .default([])
    .describe(
      'Addresses or networks of that proxy, with commas: whoever connects from there is believed. From others the header is ignored.',
    ),
  proxy_admins: z
    .array(z.string().min(1))
    .default([])
    .describe("The proxy's users who are admins, with commas; all others are viewers."),
  silent_after_seconds: z
    .int()
    .min(30)
    .max(604_800)
    .default(300)
    .describe('A host is silent when no heartbeat came for this long.'),
  readiness_window_days: z
    .int()
    .min(1)
    .max(400)
    .default(14)
    .describe('How long a host must have been watched without IMDSv1 to be ready for HttpTokens=required.'),
  readiness_max_missing_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .default(60)
    .describe('How much of that may be unwatched in all, for restarts. Losses are never tolerated.'),
  max_connections: z
    .int()
    .min(1)
    .max(100_000)
    .default(1024)
    .describe('Agents connected at one time; more are told to come again later.'),
  max_unauthenticated: z
    .int()
    .min(16)
    .max(100_000)
    .default(1024)
    .describe(
      'Connections at one time that have shown no credential. A new one takes the place of the one that has made no progress for the longest.',
    ),
  max_unauthenticated_per_address: z
    .int()
    .min(1)
    .max(100_000)
    .default(64)
    .describe(
      'The same from one address. Behind a load balancer all connections have its address: set it to max_unauthenticated, or name the load balancer in proxy_trusted_addresses if it sends X-Forwarded-For.',
    ),
  idle_seconds: z
    .int()
    .min(5)
    .max(3600)
    .default(60)
    .describe('A connection on which nothing arrived for this long is closed.'),
  log_level: z
    .enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
    .default('info')
    .describe('Least severe messages to log.'),
});

export type CollectorSettings = z.infer<typeof collectorSettings>;

/** Returns host and port of `listen`. The host has no brackets. */
export function listenAddress({ listen }: Pick<CollectorSettings, 'listen'>): { host: string; port: number } {
  const colon = listen.lastIndexOf(':');
  return { host: listen.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(listen.slice(colon + 1)) };
}

/** Tells whether only this machine can reach the address. Such a connection needs no encryption. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  if (isIPv6(host)) {
    const { hostname } = new URL(`http://[${host}]`);
    return hostname === '[::1]' || hostname.startsWith('[::ffff:7f');
  }
  return isIP(host) === 4 && host.startsWith('127.');
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
    refuse('tls_cert_file and tls_key_file belong together: set both.');
  }
  if (tls_self_signed && tls_cert_file !== undefined) {
    refuse('tls_self_signed makes a certificate, and tls_cert_file names one: set one of the two.');
  }
  if (tls_client_ca_file !== undefined && !servesTls(settings)) {
    refuse('tls_client_ca_file needs TLS: set tls_cert_file and tls_key_file too.');
  }
  if (!servesTls(settings) && !settings.insecure_http && !isLoopback(listenAddress(settings).host)) {
    refuse(
      `listen is "${listen}", which others can reach, and there is no TLS: tokens and findings would travel in the clear. Set tls_cert_file and tls_key_file (or tls_self_signed for a first try), or insecure_http when something in front of the collector encrypts.`,
    );
  }
  if (settings.agent_token_host !== undefined && configuredAgentToken(settings) === null) {
    refuse('agent_token_host needs agent_token: which token is the credential of that host?');
  }
  if (settings.proxy_user_header !== undefined && settings.proxy_trusted_addresses.length === 0) {
    refuse('proxy_user_header needs proxy_trusted_addresses: who may say who somebody is?');
  }
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
