/**
 * Whether one agent's socket is read. What is not read stays with the agent, whose spool is made for it: an agent that is too
 * fast, a store that is too slow and too much from all agents together cost waiting, and no record.
 */
import type { WebSocket } from 'ws';
import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';
import type { Backlog } from './backlog.ts';
import type { HostShares } from './host_shares.ts';

/** Bytes of one agent's batches that wait for the store. Well-behaved agents stay below: they send 2 MiB ahead. */
const MAX_PENDING_BYTES = 8 * 1024 * 1024;

export interface ConnectionLimits {
  /** Of what agents send in frames. About what one core reads: only a broken agent is faster. */
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
  #pendingBytes = 0;
  #throttle: NodeJS.Timeout | null = null;
  #closed = false;
  #hostId: string | null = null;

  /** `onHeldBack`: the socket is not read from now on. */
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

  /** Nothing can arrive while the socket is not read: that is not silence. */
  get isHeldBack(): boolean {
    return this.#socket.isPaused;
  }

  /** From now on the connection sends for this host, and takes of its share. */
  speaksFor(hostId: string): void {
    if (this.#closed) return;
    this.#hostId = hostId;
    this.#shares.join(hostId);
  }

  /** A batch came, and waits for the store until `taken`. */
  came(bytes: number, records: number): void {
    this.#pendingBytes += bytes;
    this.#backlog.add(bytes);
    this.heard(bytes, records);
  }

  /** A frame came that does not wait for the store. */
  heard(bytes: number, records: number): void {
    const now = performance.now();
    const waitMs = Math.max(
      this.#bytes.takeOnCredit(bytes, now),
      this.#records.takeOnCredit(records, now),
      this.#hostId === null ? 0 : this.#shares.take(this.#hostId, bytes, records),
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

  /** The store has a batch, or has refused it. */
  taken(bytes: number): void {
    this.#pendingBytes -= bytes;
    this.#backlog.remove(bytes);
    this.#regulate();
  }

  readonly #regulate = (): void => {
    if (this.#closed) return;
    const isPaused = this.#socket.isPaused;
    const hold =
      this.#pendingBytes > (isPaused ? MAX_PENDING_BYTES / 2 : MAX_PENDING_BYTES) ||
      this.#throttle !== null ||
      this.#backlog.isFull(this.#regulate);
    if (hold && !isPaused) {
      this.#onHeldBack();
      this.#socket.pause();
    } else if (!hold && isPaused) {
      this.#socket.resume();
    }
  };

  /** The connection is gone; what still waits for the store is told to `taken` all the same. */
  close(): void {
    this.#closed = true;
    if (this.#hostId !== null) this.#shares.leave(this.#hostId);
    this.#hostId = null;
    if (this.#throttle !== null) clearTimeout(this.#throttle);
    this.#backlog.forget(this.#regulate);
  }
}
