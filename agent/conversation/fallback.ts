/**
 * Recognises fallbacks: IMDSv1 reads of a client that supports tokens, but whose token request got no answer
 * (the hop limit is too low for a container) or was refused. Seen alone, such a read looks like any other
 * IMDSv1 read.
 *
 * The sign is what the client does: it closes or resets the connection of a token request that nobody
 * answered, after whatever time. Time-outs of known clients reach from 100 ms (Istio's proxy) to 10 s (facter).
 * Most SDKs continue without tokens for the life of the process (AWS SDKs and Tools Reference Guide, "IMDS
 * credential provider").
 *
 * A state ends when a token is granted to the same client, and with the time of its key. In doubt a read is no
 * fallback: then it counts as IMDSv1 of the client's own accord, which is the more cautious verdict.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Call } from '../../protocol/call.ts';

/**
 * A client that keeps the connection of its token request open, and reads on another one, has given up. An
 * answer that arrives is acknowledged within this time (net/ipv4/tcp.h, TCP_DELACK_MIN, is 40 ms).
 */
const OVERTAKEN_US = 50_000;
const MAX_KEYS = 16_384;
/** Token requests of one client that wait at one time. More threads than that share the state of these. */
const MAX_WAITING = 16;

/** A name of a client. One client may have several: its process, the script that runs it. */
export interface ClientKey {
  key: string;
  /** Microseconds for which a failed token request explains reads under this key. */
  lastsUs: number;
  /** The key names one process, which may do two things at one time. */
  isProcess: boolean;
}

export interface Fallback {
  reason: NonNullable<Call['imds.fallback']>;
  /** The hop limit with which the token's answer was captured; null if no answer was captured. */
  answerHopLimit: number | null;
}

interface Failure extends Fallback {
  startUs: number;
  endUs: number;
}

interface ClientState {
  waiting: TokenRequest[];
  /** The failures since the last granted token: the first and the latest one. */
  first: Failure | null;
  latest: Failure | null;
  isGranted: boolean;
}

/** One token request whose end is not known yet. */
export interface TokenRequest {
  readonly startUs: number;
  readonly keys: readonly ClientKey[];
  isGivenUp: boolean;
}

export class FallbackWatch {
  /** Least recently used first. */
  private readonly clients = new Map<string, ClientState>();

  /** Adds a token request that a client sent. */
  addTokenRequest(keys: readonly ClientKey[], startUs: number): TokenRequest {
    const request: TokenRequest = { startUs, keys, isGivenUp: false };
    for (const { key } of keys) {
      const state = this.clients.get(key) ?? { waiting: [], first: null, latest: null, isGranted: false };
      this.clients.delete(key);
      this.clients.set(key, state);
      state.waiting.push(request);
      if (state.waiting.length > MAX_WAITING) state.waiting.shift();
    }
    deleteOldestEntries(this.clients, MAX_KEYS);
    return request;
  }

  /**
   * Learns that the client closed or reset the connection, and had not acknowledged an answer. `answerHopLimit` is
   * the one of an answer that was captured and did not reach the client.
   */
  giveUp(request: TokenRequest, timeUs: number, answerHopLimit: number | null): void {
    if (request.isGivenUp) return;
    request.isGivenUp = true;
    this.addFailure(request, { reason: 'token_unanswered', answerHopLimit, endUs: timeUs });
  }

  /** Learns that a token was granted: the client received an answer below 400. */
  grant(request: TokenRequest): void {
    for (const state of this.statesOf(request)) {
      state.first = null;
      state.latest = null;
      state.isGranted = true;
    }
  }

  /** Learns that the request was answered with 400 or more. */
  refuse(request: TokenRequest, timeUs: number): void {
    this.addFailure(request, { reason: 'token_refused', answerHopLimit: null, endUs: timeUs });
  }

  /** Deletes a request of which a part was not seen. It explains nothing. */
  dismiss(request: TokenRequest): void {
    for (const _ of this.statesOf(request));
  }

  /**
   * Returns why a client reads without a token, as far as its token requests show; else null. Called when the
   * read is over, which began at `startUs`. The first of `keys` that is known decides.
   */
  fallbackOf(keys: readonly ClientKey[], startUs: number): Fallback | null {
    for (const { key, lastsUs, isProcess } of keys) {
      const state = this.clients.get(key);
      if (state === undefined) continue;
      const failure = [state.latest, state.first].find((one) => explains(one, startUs, lastsUs));
      if (failure) return { reason: failure.reason, answerHopLimit: failure.answerHopLimit };
      if (isProcess && state.waiting.some((request) => isOvertaken(request, startUs, lastsUs))) {
        return { reason: 'token_unanswered', answerHopLimit: null };
      }
      if (state.isGranted) return null;
    }
    return null;
  }

  private addFailure(request: TokenRequest, failure: Omit<Failure, 'startUs'>): void {
    const whole = { ...failure, startUs: request.startUs };
    for (const state of this.statesOf(request)) {
      state.first ??= whole;
      state.latest = whole;
      state.isGranted = false;
    }
  }

  /** Returns the states of a request's client, in which the request waits no longer. */
  private *statesOf(request: TokenRequest): Iterable<ClientState> {
    for (const { key } of request.keys) {
      const state = this.clients.get(key);
      if (state === undefined) continue;
      state.waiting = state.waiting.filter((other) => other !== request);
      yield state;
    }
  }
}

function isOvertaken(request: TokenRequest, startUs: number, lastsUs: number): boolean {
  const waitedUs = startUs - request.startUs;
  return waitedUs >= OVERTAKEN_US && waitedUs <= lastsUs;
}

/** Returns whether a read that began at `startUs` may be the result of a failure. */
function explains(failure: Failure | null, startUs: number, lastsUs: number): failure is Failure {
  if (failure === null || failure.startUs > startUs || startUs - failure.endUs > lastsUs) return false;
  // A refusal has to be received before the client reads. The close of a connection may be captured a moment
  // behind the first byte of the read, because another thread closes it.
  return failure.reason === 'token_unanswered' || failure.endUs <= startUs;
}
