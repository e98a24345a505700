/** Decides when an agent sends heartbeats and connects again, by its own settings and by what its collector said. */
import { Backoff } from '../../common/backoff.ts';
import type { Pace } from '../../protocol/frames.ts';

const FIRST_RETRY_MS = 500;
const MAX_RETRY_MS = 30_000;
/** Bound on the delay after a collector has handed its agents over. It spreads the closes itself. */
const HANDED_OVER_RETRY_MS = 200;

export class CollectorPace {
  readonly #ownHeartbeatMs: number;
  readonly #random: () => number;
  readonly #backoff: Backoff;
  #heartbeatMs: number;
  #heartbeatSentMs = Number.NEGATIVE_INFINITY;
  /** Time over which the agents of the last collector spread their first attempt. */
  #reconnectMs = 0;

  constructor(ownHeartbeatMs: number, random: () => number = Math.random) {
    this.#ownHeartbeatMs = ownHeartbeatMs;
    this.#heartbeatMs = ownHeartbeatMs;
    this.#random = random;
    this.#backoff = new Backoff(FIRST_RETRY_MS, MAX_RETRY_MS, random);
  }

  /** Follows the pace that the collector has told, in place of the one before. */
  follow({ heartbeat_seconds: heartbeat = 0, reconnect_seconds: reconnect = 0 }: Pace): void {
    this.#heartbeatMs = Math.max(this.#ownHeartbeatMs, heartbeat * 1000);
    this.#reconnectMs = reconnect * 1000;
  }

  /**
   * Tells whether a heartbeat is due. This is asked at the agent's own interval, so half of it is tolerated.
   * `nowMs`: `performance.now()`.
   */
  isHeartbeatDue(nowMs: number): boolean {
    return nowMs - this.#heartbeatSentMs > this.#heartbeatMs - this.#ownHeartbeatMs / 2;
  }

  onHeartbeat(nowMs: number): void {
    this.#heartbeatSentMs = nowMs;
  }

  /** Returns the delay before the next attempt to connect, in milliseconds. */
  nextRetry(isHandedOver: boolean): number {
    if (isHandedOver) return Math.round(HANDED_OVER_RETRY_MS * this.#random());
    return this.#backoff.nextSpread(this.#reconnectMs);
  }

  /** Begins again with the shortest delay. */
  resetRetries(): void {
    this.#backoff.reset();
  }
}
