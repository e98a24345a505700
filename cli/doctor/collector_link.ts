/**
 * Checks whether the collector can be reached, is who it should be, lets this agent in, and has the same time. Goes as far as the
 * door: a hello would enrol a host, or take the place of the agent that runs.
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
import { certificateEnd } from './certificate.ts';
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
/** Beyond it calls are filed under the wrong minute, beyond the other under the wrong hour or day. */
const SKEW_WARNED_SECONDS = 5;
const SKEW_FAILED_SECONDS = 300;

export const collectorLink: Check<AgentSide> = {
  name: 'collector',
  applies: () => true,
  async examine({ settings, running }) {
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
      const said = {
        warn: (_: unknown, message: string) => {
          warnings.push(
            warn(message, 'Give the collector a certificate, and write wss:// in collector_url.'),
          );
        },
      };
      address.token = collectorAddress(settings, hostId, Object.assign(Object.create(log), said)).token;
    } catch (error) {
      const text = messageOf(error);
      if (!/agent_token is not set/.test(text)) return [fail(text, 'Correct that setting.')];
      // `imdswatch up` gives its own agent a token of its own.
      if (isConnected && running.isRunning === true) token = ok('the running agent is connected');
      else if (running.isRunning === 'unknown') token = skip('the credential needs root to be read', AS_ROOT);
      else
        token = fail(
          'the agent has no token, no credential and no client certificate to show',
          'Make an enrolment token on the collector (imdswatch token create) and name its file in agent_token_file.',
        );
    }
    const reached = await reach(address);
    if (token !== null || !reached.isCollector) {
      return [...reached.findings, ...(token === null ? [] : [token]), ...warnings];
    }
    const credential = new CredentialFile(settings.spool_dir, hostId, log).get();
    return [...reached.findings, await door(address, credential), ...warnings];
  },
};

/** Asks for the health page, which everybody may see. */
async function reach(address: CollectorAddress): Promise<{ findings: Finding[]; isCollector: boolean }> {
  const url = new URL('/healthz', address.url.replace(/^ws/, 'http'));
  const begin = Date.now();
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
  const end = Date.now();
  const isCollector = response.statusCode === 200 || response.statusCode === 503;
  const findings: Finding[] = [
    isCollector
      ? ok(`${address.url} answers in ${end - begin} ms`)
      : fail(
          `${address.url} answers with status ${response.statusCode}, and is no imdswatch collector`,
          'Check collector_url: a proxy may be in between.',
        ),
  ];
  const { socket } = response;
  if ('getPeerCertificate' in socket) {
    const { valid_to: until } = (socket as TLSSocket).getPeerCertificate();
    findings.push(
      certificateEnd(`its certificate (${(socket as TLSSocket).getProtocol()})`, new Date(until)),
    );
  }
  const skew = skewSeconds(response.headers.date, begin, end);
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
  if (code === 'ECONNREFUSED') return 'Nothing listens there: start the collector, or correct collector_url.';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return 'The name is not known here: correct collector_url, or the DNS.';
  return 'Let this host reach it (security group, firewall, proxy). Records are kept in the spool meanwhile.';
}

/** Returns how far this clock is ahead of the other; negative: behind. The header has whole seconds (RFC 9110 section 6.6.1). */
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
  const remedy = 'Set it by NTP (on EC2: chrony with 169.254.169.123).';
  return distance < SKEW_FAILED_SECONDS ? warn(text, remedy) : fail(text, remedy);
}

/** Shows what the agent would show, and goes when the door opens. */
function door({ url, token, tls }: CollectorAddress, credential: string | null): Promise<Finding> {
  const secret = credential ?? token;
  const shown =
    credential !== null ? 'credential' : token !== null ? 'enrolment token' : 'client certificate';
  return new Promise((resolve) => {
    const socket = new WebSocket(new URL(AGENT_PATH, url), {
      ...(url.startsWith('wss:') ? tlsOptions(tls!) : {}),
      headers: secret === null ? {} : { authorization: `Bearer ${secret}` },
      handshakeTimeout: TIMEOUT_MS,
      followRedirects: false,
      perMessageDeflate: false,
    });
    const end = (finding: Finding) => {
      resolve(finding);
      socket.terminate();
    };
    socket.on('open', () => end(ok(`the collector lets this agent in, by its ${shown}`)));
    socket.on('error', (error) => end(fail(`the door for agents: ${error.message}`, reasonsFor(undefined))));
    socket.on('unexpected-response', (request, { statusCode }) => {
      request.destroy();
      if (statusCode === 401) {
        end(
          fail(
            `the collector refuses this agent's ${shown}`,
            'Set agent_token_file to an enrolment token: imdswatch token create --kind enrolment, on the collector.',
          ),
        );
      } else if (statusCode === 503) {
        end(warn('the collector takes no more agents now', 'Raise its max_connections.'));
      } else {
        end(
          fail(
            `the door for agents answers with status ${statusCode}`,
            'Check collector_url: a proxy may be in between.',
          ),
        );
      }
    });
  });
}
