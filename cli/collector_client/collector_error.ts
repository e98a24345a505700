/** Turns what a collector answered, or that it did not, into errors that say what to do next. */
import type { IncomingHttpHeaders } from 'node:http';
import { connectionRemedy } from '../../agent/outbox/refusals.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';

/** The collector cannot answer now: it is not reached, is too busy, or fails. It may answer later. */
export class CollectorAway extends OperatorError {
  /** True where the same question may be asked again at once. */
  readonly mayRetry: boolean;
  /** Seconds that the collector asks to wait, if it said so. */
  readonly retryAfterSeconds: number | null;

  constructor(message: string, mayRetry: boolean, retryAfterSeconds: number | null = null) {
    super(1, message);
    this.name = 'CollectorAway';
    this.mayRetry = mayRetry;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

/** A position in the order of calls is not known any more (410). */
export class PlaceLost extends OperatorError {}

/** A collector answers so for a path that it does not have, and otherwise for a thing that does not exist. */
const NO_ROUTE = 'There is nothing at ';

export interface Answered {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

/** Describes a failed connection. `caFile`: the setting `collector_ca_file` in use. */
export function unreached(error: NodeJS.ErrnoException, url: string): CollectorAway {
  const remedy = connectionRemedy(error, url, {
    reader: 'this command',
    address: '--collector',
    plain: 'http://',
    encrypted: 'https://',
  });
  // An error that needs an operator does not go away by asking again.
  if (remedy !== null) return new CollectorAway(remedy, false);
  const reason = error.message || error.code || 'the connection failed';
  return new CollectorAway(
    `The collector ${url} cannot be reached: ${reason}. ${reachAdvice(error.code)}`,
    true,
  );
}

export function timedOut(url: string, seconds: number): CollectorAway {
  return new CollectorAway(
    `The collector ${url} gave no answer in ${seconds} s. Check the network between it and this machine, and its log.`,
    false,
  );
}

function reachAdvice(code: string | undefined): string {
  if (code === 'ECONNREFUSED')
    return 'No program listens there: start the collector, or correct --collector.';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return 'The name cannot be resolved: correct --collector, or the DNS configuration of this machine.';
  }
  return 'Allow this machine to reach it (VPN, firewall, security group, proxy).';
}

/** Describes an answer that is no success. `request` is like `GET /api/v1/hosts`. */
export function refused(answer: Answered, url: string, request: string, tokenFrom: string): OperatorError {
  const { status, headers } = answer;
  const detail = detailOf(answer);
  switch (status) {
    case 401:
      return new OperatorError(
        3,
        `The collector ${url} does not accept the token of ${tokenFrom} (401): it is no token of a person, has expired or was revoked. Make one on the collector's machine: imdswatch token create --kind person --role ROLE --name NAME.`,
      );
    case 403:
      return new OperatorError(
        3,
        `The collector ${url} does not permit ${request} (403). ${detail ?? 'A proxy before it may refuse this machine.'}`,
      );
    case 404:
      return new OperatorError(
        1,
        detail === null
          ? `${url} has nothing at ${request} (404): it is not an imdswatch collector, or a proxy is in between. Check --collector.`
          : detail.startsWith(NO_ROUTE)
            ? `The collector ${url} is too old: it has no ${request}, which imdswatch ${VERSION} needs. Update the collector.`
            : `The collector ${url} does not have it: ${detail}`,
      );
    case 410:
      return new PlaceLost(1, `The collector ${url} does not know the position any more. ${detail ?? ''}`);
    case 429:
    case 502:
    case 503:
    case 504:
      return new CollectorAway(
        `The collector ${url} cannot answer now (${status}). ${detail ?? 'Try again later.'}`,
        true,
        retryAfter(headers['retry-after']),
      );
    default:
      if (status >= 300 && status < 400) {
        return new OperatorError(
          1,
          `${url} redirects to ${headers.location ?? 'nowhere'} (${status}). No token is sent there: give the collector's own address with --collector.`,
        );
      }
      if (status >= 500) {
        return new CollectorAway(
          `The collector ${url} failed to answer ${request} (${status}). ${detail ?? 'Look at its log.'}`,
          false,
        );
      }
      return new OperatorError(
        1,
        `The collector ${url} refused ${request} (${status}). ${detail ?? 'Check --collector: it may be no imdswatch collector.'}`,
      );
  }
}

export function notUnderstood(url: string, request: string, problem: string): OperatorError {
  return new OperatorError(
    1,
    `The answer of the collector ${url} to ${request} is not understood (${problem}). This is imdswatch ${VERSION}: update the older of the two.`,
  );
}

/** Returns the text of a problem document (RFC 9457); null where the answer is none, as a proxy's. */
function detailOf({ headers, body }: Answered): string | null {
  if (!/^application\/problem\+json/i.test(headers['content-type'] ?? '')) return null;
  try {
    const { detail } = JSON.parse(body) as { detail?: unknown };
    return typeof detail === 'string' ? detail : null;
  } catch {
    return null;
  }
}

function retryAfter(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,4}$/.test(header) ? Number(header) : null;
}
