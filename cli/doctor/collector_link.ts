/**
 * Checks that the collector can be reached, has a trusted certificate and the same time, and accepts this
 * agent. The check ends after authentication: a hello frame would enrol a host, or replace the running
 * agent's connection.
 */
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import { WebSocket } from 'ws';
import { collectorAddress } from '../../agent/outbox/collector_address.ts';
import { tlsOptions } from '../../agent/outbox/collector_tls.ts';
import { CredentialFile } from '../../agent/outbox/credential_file.ts';
import type { CollectorAddress } from '../../agent/outbox/outbox.ts';
import { tlsRemedy } from '../../agent/outbox/refusals.ts';
import { AGENT_PATH } from '../../protocol/frames.ts';
import { certificateExpiry } from './certificate.ts';
import {
  type AgentSide,
  AS_ROOT,
  type Check,
  type Finding,
  fail,
  messageOf,
  ok,
  skip,
  warn,
} from './check.ts';
import { hostIdOf } from './host_id.ts';
import { spanText } from './quantity.ts';

const TIMEOUT_MS = 5_000;
/** A larger difference assigns calls to a wrong minute; above the second limit, to a wrong hour or day. */
const SKEW_WARNED_SECONDS = 5;
const SKEW_FAILED_SECONDS = 300;

export const collectorLink: Check<AgentSide> = {
  name: 'collector',
  applies: () => true,
  async run({ settings, running }) {
    const warnings: Finding[] = [];
    const log = pino({ level: 'silent' });
    const hostId = hostIdOf(settings);
    const address: CollectorAddress = {
      url: settings.collector_url,
      token: null,
      spoolDir: settings.spool_dir,
      heartbeatMs: 0,
      tls: {
        caFile: settings.collector_ca_file ?? null,
        certFile: settings.tls_cert_file ?? null,
        keyFile: settings.tls_key_file ?? null,
      },
    };
    const isConnected = running.state?.heartbeat.counters['uplink']?.['connected'] === 1;
    let token: Finding | null = null;
    try {
      const warningLog = {
        warn: (_: unknown, message: string) => {
          warnings.push(
            warn(message, 'Configure a certificate on the collector, and use wss:// in collector_url.'),
          );
        },
      };
      address.token = collectorAddress(settings, hostId, Object.assign(Object.create(log), warningLog)).token;
    } catch (error) {
      const text = messageOf(error);
      if (!/agent_token is not set/.test(text))
        return [fail(text, 'Correct the setting that the message names.')];
      // `imdswatch up` makes a token for its agent, which no file holds.
      if (isConnected && running.isRunning === true) token = ok('the running agent is connected');
      else if (running.isRunning === 'unknown') token = skip('reading the credential needs root', AS_ROOT);
      else
        token = fail(
          'the agent has no token, no credential and no client certificate',
          'Make an enrolment token on the collector (imdswatch token create --kind enrolment), and set agent_token_file to a file that contains it.',
        );
    }
    const reached = await requestHealth(address);
    if (token !== null || !reached.isCollector) {
      return [...reached.findings, ...(token === null ? [] : [token]), ...warnings];
    }
    const credential = new CredentialFile(settings.spool_dir, hostId, log).get();
    return [...reached.findings, await authenticateLikeTheAgent(address, credential), ...warnings];
  },
};

/** Requests the health endpoint, which needs no authentication. */
async function requestHealth(
  address: CollectorAddress,
): Promise<{ findings: Finding[]; isCollector: boolean }> {
  const url = new URL('/healthz', address.url.replace(/^ws/, 'http'));
  const beginMs = Date.now();
  let response: IncomingMessage;
  try {
    response = await get(url, address);
  } catch (error) {
    const remedy = tlsRemedy(error as NodeJS.ErrnoException, address.url);
    return {
      isCollector: false,
      findings: [
        fail(
          `${address.url} cannot be reached (${messageOf(error) || (error as NodeJS.ErrnoException).code})`,
          remedy ?? reasonsFor((error as NodeJS.ErrnoException).code),
        ),
      ],
    };
  }
  const endMs = Date.now();
  const isCollector = response.statusCode === 200 || response.statusCode === 503;
  const findings: Finding[] = [
    isCollector
      ? ok(`${address.url} answers in ${endMs - beginMs} ms`)
      : fail(
          `${address.url} answers with status ${response.statusCode}: it is not an imdswatch collector`,
          'Check collector_url, and whether a proxy between this host and the collector answers instead.',
        ),
  ];
  const { socket } = response;
  if ('getPeerCertificate' in socket) {
    const { valid_to: until } = (socket as TLSSocket).getPeerCertificate();
    findings.push(
      certificateExpiry(`its certificate (${(socket as TLSSocket).getProtocol()})`, new Date(until)),
    );
  }
  const skew = skewSeconds(response.headers.date, beginMs, endMs);
  if (skew !== null) findings.push(skewFinding(skew));
  return { findings, isCollector };
}

function get(url: URL, { tls }: CollectorAddress): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...tlsOptions(tls!), agent: false })
        : httpRequest(url, { agent: false });
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer in ${TIMEOUT_MS / 1_000} s`)),
      TIMEOUT_MS,
    );
    request.on('error', reject);
    request.on('close', () => clearTimeout(timer));
    request.on('response', (response) => {
      response.resume();
      resolve(response);
    });
    request.end();
  });
}

function reasonsFor(code: string | undefined): string {
  if (code === 'ECONNREFUSED')
    return 'No program listens at that address: start the collector, or correct collector_url.';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'The name cannot be resolved: correct collector_url, or the DNS configuration of this host.';
  return 'Allow this host to reach the collector (security group, firewall, proxy). Records are kept in the spool until then.';
}

/**
 * Returns how many seconds this clock is ahead of the collector's; negative when it is behind; null without a
 * date. The header has whole seconds (RFC 9110 section 6.6.1).
 */
export function skewSeconds(date: string | undefined, beginMs: number, endMs: number): number | null {
  const theirs = Date.parse(date ?? '');
  if (Number.isNaN(theirs)) return null;
  if (beginMs > theirs + 1_000) return (beginMs - theirs - 1_000) / 1_000;
  return endMs < theirs ? (endMs - theirs) / 1_000 : 0;
}

function skewFinding(skew: number): Finding {
  const distance = Math.abs(skew);
  if (distance < SKEW_WARNED_SECONDS) return ok('the clocks agree');
  const text = `this clock is ${spanText(distance)} ${skew > 0 ? 'ahead of' : 'behind'} the collector's`;
  const remedy = 'Synchronise the clock by NTP (on EC2: chrony with 169.254.169.123).';
  return distance < SKEW_FAILED_SECONDS ? warn(text, remedy) : fail(text, remedy);
}

/**
 * Tries the credential, and the enrolment token when the credential is refused: the agent does the same, so a host
 * whose credential was revoked a moment ago is about to join again.
 */
async function authenticateLikeTheAgent(
  address: CollectorAddress,
  credential: string | null,
): Promise<Finding> {
  const finding = await authenticate(address, credential);
  if (finding.status !== 'fail' || credential === null || address.token === null) return finding;
  const withToken = await authenticate(address, null);
  if (withToken.status !== 'ok') return finding;
  return warn(
    "the collector rejects this agent's credential, and accepts its enrolment token",
    'The agent tries to enrol again by itself within 30 seconds. Run the check again after that.',
  );
}

/** Opens the agents' WebSocket as the agent would, and closes it as soon as the collector has accepted it. */
function authenticate({ url, token, tls }: CollectorAddress, credential: string | null): Promise<Finding> {
  const secret = credential ?? token;
  const credentialKind =
    credential !== null ? 'credential' : token !== null ? 'enrolment token' : 'client certificate';
  return new Promise((resolve) => {
    const socket = new WebSocket(new URL(AGENT_PATH, url), {
      ...(url.startsWith('wss:') ? tlsOptions(tls!) : {}),
      headers: secret === null ? {} : { authorization: `Bearer ${secret}` },
      handshakeTimeout: TIMEOUT_MS,
      followRedirects: false,
      perMessageDeflate: false,
    });
    const settle = (finding: Finding) => {
      resolve(finding);
      socket.terminate();
    };
    socket.on('open', () => settle(ok(`the collector accepts this agent by its ${credentialKind}`)));
    socket.on('error', (error) =>
      settle(fail(`the connection to the agents' endpoint failed: ${error.message}`, reasonsFor(undefined))),
    );
    socket.on('unexpected-response', (request, { statusCode }) => {
      request.destroy();
      if (statusCode === 401) {
        settle(
          fail(
            `the collector rejects this agent's ${credentialKind}`,
            'Make an enrolment token on the collector (imdswatch token create --kind enrolment), and set agent_token_file to a file that contains it.',
          ),
        );
      } else if (statusCode === 503) {
        settle(warn('the collector accepts no more agents now', 'Raise max_connections of the collector.'));
      } else {
        settle(
          fail(
            `the agents' endpoint answers with status ${statusCode}`,
            'Check collector_url, and whether a proxy between this host and the collector answers instead.',
          ),
        );
      }
    });
  });
}
