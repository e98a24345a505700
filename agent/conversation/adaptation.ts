/**
 * Recognises clients that adapt: a read is refused with 401, the same client then takes a token, and the
 * same read with that token succeeds. Nothing breaks for such a client when tokens are required.
 *
 * Without a token the 401 says that tokens are required (aws/aws-sdk-cpp#2282; GoCD's EC2 plugin,
 * iriusrisk/GoCD-EC2-Elastic-Agent-Plugin#23, reads `/` to find that out). With a token it says that the
 * token is stale (JuliaCloud/AWS.jl#736 renews it).
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';

/**
 * Time after the refusal in which the read with a token must have succeeded. Clients ask for the token at
 * once. A client that is slower counts as refused, which is the cautious verdict.
 */
export const ADAPTATION_US = 1_500_000;
/** Refused reads that wait at a time. Beyond it the oldest is reported as refused. */
const MAX_HELD = 4_096;
const MAX_KEYS = 4_096;
/** The latest token requests, and reads with a token, that are remembered of one client. */
const MAX_REMEMBERED = 16;

export interface TokenRead {
  /** Names of the client: its process, the script that runs it. Each holds its user agent. */
  keys: readonly string[];
  path: string;
  /** When the request began, in microseconds since the Unix epoch. */
  startUs: number;
}

export interface RefusedRead extends TokenRead {
  /** Reports the call, once. */
  report: (adapted: boolean) => void;
}

interface HeldRead extends RefusedRead {
  isReported: boolean;
}

interface ClientState {
  held: Set<HeldRead>;
  /** When its latest token requests that were granted began. */
  tokensUs: number[];
  /** When its latest reads without a token that were not refused began. */
  tokenlessUs: number[];
  /** Its latest reads with a token that were not refused. */
  reads: TokenRead[];
}

/**
 * The conversations of one client end in any order, because the last acknowledgement of one may come after
 * the next one. Times of requests decide here, and never the order of calls of these methods.
 */
export class AdaptationWatch {
  /** Oldest first. Reads that are reported already are skipped. */
  #queue: HeldRead[] = [];
  /** Least recently used first. */
  readonly #clients = new Map<string, ClientState>();

  /** Holds a refused read until it is known what came next. */
  hold(read: RefusedRead): void {
    const held: HeldRead = { ...read, isReported: false };
    const states = read.keys.map((key) => this.#use(key));
    for (const state of states) state.held.add(held);
    this.#queue.push(held);
    if (this.#queue.length > MAX_HELD) this.#reportOldest(this.#queue.length - MAX_HELD);
    for (const state of states) this.#reportAdapted(state);
  }

  /** Records that a client was granted a token. */
  recordToken(keys: readonly string[], startUs: number): void {
    for (const key of keys) {
      const state = this.#use(key);
      remember(state.tokensUs, startUs);
      this.#reportAdapted(state);
    }
  }

  /**
   * Records that a client read without a token, and was not refused. A client that does so after a refusal did not
   * adapt: the commands of one script may be clients of different kinds.
   */
  recordTokenlessRead(keys: readonly string[], startUs: number): void {
    for (const key of keys) {
      const state = this.#use(key);
      remember(state.tokenlessUs, startUs);
    }
  }

  /** Records that a client read with a token, and was not refused. */
  recordTokenRead(read: TokenRead): void {
    for (const key of read.keys) {
      const state = this.#clients.get(key);
      if (state === undefined || (state.held.size === 0 && !hasNewToken(state, read.startUs))) continue;
      remember(state.reads, read);
      this.#reportAdapted(state);
    }
  }

  /** Reports the reads whose time is up. Returns whether some still wait. */
  tick(nowUs: number): boolean {
    const due = this.#queue.findIndex(
      ({ startUs, isReported }) => !isReported && startUs + ADAPTATION_US > nowUs,
    );
    this.#reportOldest(due < 0 ? this.#queue.length : due);
    return this.#queue.length > 0;
  }

  /** Reports all reads that wait as refused. */
  finish(): void {
    this.#reportOldest(this.#queue.length);
  }

  #use(key: string): ClientState {
    const state = this.#clients.get(key) ?? { held: new Set(), tokensUs: [], tokenlessUs: [], reads: [] };
    this.#clients.delete(key);
    this.#clients.set(key, state);
    deleteOldestEntries(this.#clients, MAX_KEYS);
    return state;
  }

  #reportAdapted(state: ClientState): void {
    for (const held of state.held) if (hasAdapted(held, state)) this.#report(held, true);
  }

  #reportOldest(count: number): void {
    for (const held of this.#queue.splice(0, count)) {
      if (!held.isReported) this.#report(held, false);
    }
  }

  #report(held: HeldRead, adapted: boolean): void {
    held.isReported = true;
    for (const key of held.keys) this.#clients.get(key)?.held.delete(held);
    held.report(adapted);
  }
}

/**
 * Returns whether the client took a token after the refusal and then repeated the read with success. A list of
 * versions (`/`) is repeated by any path, because clients read it only to find out if they need a token.
 */
function hasAdapted({ path, startUs }: HeldRead, { tokensUs, tokenlessUs, reads }: ClientState): boolean {
  return reads.some(
    (read) =>
      (read.path === path || path === '/') &&
      tokensUs.some((tokenUs) => tokenUs > startUs && tokenUs < read.startUs) &&
      !tokenlessUs.some((atUs) => atUs > startUs && atUs < read.startUs) &&
      read.startUs - startUs <= ADAPTATION_US,
  );
}

function hasNewToken({ tokensUs }: ClientState, startUs: number): boolean {
  return tokensUs.some((tokenUs) => tokenUs < startUs && startUs - tokenUs <= ADAPTATION_US);
}

/** Adds the latest item, and drops the oldest beyond the bound. */
function remember<T>(items: T[], item: T): void {
  items.push(item);
  if (items.length > MAX_REMEMBERED) items.shift();
}
