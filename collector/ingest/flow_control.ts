/**
 * Decides when one agent's socket is read. Records that are not read stay in the agent's spool. So an agent
 * that is too fast, a store that is too slow and too many agents at once cause delay, but lose no record.
 */
import type { WebSocket } from 'ws';
import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';
import type { Backlog } from './backlog.ts';
import type { HostShares } from './host_shares.ts';

export interface ConnectionLimits {
  /** Bytes of an agent's frames. One core reads about as much; only a broken agent is faster. */
  bytesPerSecond: number;
  recordsPerSecond: number;
}

export class FlowControl {
  readonly #socket: WebSocket;
  readonly #backlog: Backlog;
  readonly #shares: HostShares;
  readonly #onHeldBack: () => void;
  readonly #bytes: TokenBucket;
  readonly #records: TokenBucket;
  /** Batches that wait for the store, and their bytes. */
  #batches = 0;
  #pendingBytes = 0;
  #throttle: NodeJS.Timeout | null = null;
  #closed = false;
  #ending = false;
  /** Waits in the line of all connections. */
  #inLine = false;
  #hostId: string | null = null;

  /** `onHeldBack` is called when the socket stops being read. */
  constructor(
    socket: WebSocket,
    limits: ConnectionLimits,
    { backlog, shares }: { backlog: Backlog; shares: HostShares },
    onHeldBack: () => void,
  ) {
    this.#shares = shares;
    this.#socket = socket;
    this.#backlog = backlog;
    this.#onHeldBack = onHeldBack;
    this.#bytes = new TokenBucket(oneSecond(limits.bytesPerSecond), performance.now());
    this.#records = new TokenBucket(oneSecond(limits.recordsPerSecond), performance.now());
  }

  /** True while the socket is not read. The agent is not silent then: nothing can arrive. */
  get isHeldBack(): boolean {
    return this.#socket.isPaused;
  }

  /** Charges the connection to the share of its host from now on. */
  joinHost(hostId: string): void {
    if (this.#closed) return;
    this.#hostId = hostId;
    this.#shares.join(hostId);
  }

  /** Counts a batch that waits for the store until `completeBatch`. */
  addBatch(bytes: number, records: number): void {
    this.#backlog.addBytes(bytes, this.#batches === 0);
    this.#batches += 1;
    this.#pendingBytes += bytes;
    if (!this.#closed && !this.#inLine) this.#inLine = this.#backlog.mustWait(this.#onTurn);
    this.countFrame(bytes, records);
  }

  /** Counts a frame, and stops reading the socket where a limit is exceeded. */
  countFrame(bytes: number, records: number): void {
    const now = performance.now();
    const waitMs = Math.max(
      this.#bytes.takeOnCredit(bytes, now),
      this.#records.takeOnCredit(records, now),
      this.#hostId === null ? 0 : this.#shares.count(this.#hostId, bytes, records),
    );
    if (waitMs > 0 && !this.#closed) {
      if (this.#throttle !== null) clearTimeout(this.#throttle);
      this.#throttle = setTimeout(() => {
        this.#throttle = null;
        this.#regulate();
      }, waitMs);
    }
    this.#regulate();
  }

  /** Counts a batch that the store has stored or refused. */
  completeBatch(bytes: number): void {
    this.#batches -= 1;
    this.#pendingBytes -= bytes;
    this.#backlog.removeBytes(bytes, this.#batches === 0);
    this.#regulate();
  }

  /** Reads the socket no more. Batches that wait for the store go on. */
  stopReading(): void {
    this.#ending = true;
    this.#regulate();
  }

  readonly #onTurn = (): void => {
    this.#inLine = false;
    this.#regulate();
  };

  #regulate(): void {
    if (this.#closed) return;
    const isPaused = this.#socket.isPaused;
    const most = this.#backlog.pendingBytesOfOne;
    const hold =
      this.#ending ||
      this.#inLine ||
      this.#throttle !== null ||
      this.#pendingBytes > (isPaused ? most / 2 : most);
    if (hold && !isPaused) {
      this.#onHeldBack();
      this.#socket.pause();
    } else if (!hold && isPaused) {
      this.#socket.resume();
    }
  }

  /**
   * Ends the regulation after the connection was closed. Batches that still wait call `completeBatch` all the
   * same.
   */
  close(): void {
    this.#closed = true;
    if (this.#hostId !== null) this.#shares.leave(this.#hostId);
    this.#hostId = null;
    if (this.#throttle !== null) clearTimeout(this.#throttle);
    this.#backlog.cancel(this.#onTurn);
  }
}
