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

export interface FlowEvents {
  /** The socket stops being read. */
  heldBack: () => void;
  /** The connection has its turn in the line. */
  turn: () => void;
}

export class FlowControl {
  readonly #socket: WebSocket;
  readonly #backlog: Backlog;
  readonly #shares: HostShares;
  readonly #on: FlowEvents;
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
  /** Had its turn, and has taken nothing since. */
  #hasTurn = false;
  #hostId: string | null = null;

  constructor(
    socket: WebSocket,
    limits: ConnectionLimits,
    { backlog, shares }: { backlog: Backlog; shares: HostShares },
    on: FlowEvents,
  ) {
    this.#shares = shares;
    this.#socket = socket;
    this.#backlog = backlog;
    this.#on = on;
    this.#bytes = new TokenBucket(oneSecond(limits.bytesPerSecond), performance.now());
    this.#records = new TokenBucket(oneSecond(limits.recordsPerSecond), performance.now());
  }

  /**
   * Tells whether the next frame may be taken. If not, the connection stands in line, and `turn` is called when
   * one may be.
   */
  mayTake(): boolean {
    if (this.#inLine) return false;
    if (this.#hasTurn) {
      this.#hasTurn = false;
      return true;
    }
    this.#inLine = !this.#closed && this.#backlog.mustWait(this.#onTurn);
    if (this.#inLine) this.#regulate();
    return !this.#inLine;
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

  /** Counts a batch that the store was given, or never will be. */
  giveBatch(bytes: number): void {
    this.#backlog.giveBytes(bytes);
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
    this.#hasTurn = true;
    this.#on.turn();
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
      this.#on.heldBack();
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

/** Counts one batch from when it was taken until it is answered. */
export class TakenBatch {
  readonly #flow: FlowControl;
  readonly #bytes: number;
  #isGiven = false;

  constructor(flow: FlowControl, bytes: number, records: number) {
    this.#flow = flow;
    this.#bytes = bytes;
    flow.addBatch(bytes, records);
  }

  /** Notes that the store was given all of it. */
  give(): void {
    if (this.#isGiven) return;
    this.#isGiven = true;
    this.#flow.giveBatch(this.#bytes);
  }

  /** Notes that it is answered, or will not be. */
  complete(): void {
    this.give();
    this.#flow.completeBatch(this.#bytes);
  }
}
