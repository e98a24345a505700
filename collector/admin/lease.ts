/**
 * Keeps a lease while this collector runs, where no other collector has it. A collector whose clock is not the database's
 * has no lease: by its clock hosts would be silent that are not, workloads would have stopped, and retention would delete
 * what is not old.
 */
import { randomUUID } from 'node:crypto';
import type { AdminStore } from './admin_store.ts';
import type { Held } from './leases.ts';

/** A clock may be off by so much. Silence of a host, the shortest time that alerts are about, is five minutes by default. */
export const MAX_CLOCK_DIFFERENCE_MS = 60_000;

/** Tells whether a collector with this clock may have a lease. `aheadMs`: see `Leases.clockAheadMs`. */
export function isClockRight(aheadMs: number): boolean {
  return Math.abs(aheadMs) <= MAX_CLOCK_DIFFERENCE_MS;
}

export interface LeaseOptions {
  /** Time after which another collector takes the lease of one that has ended without a word. */
  durationMs: number;
  /** The monotonic clock, in milliseconds. */
  clock?: () => number;
  /** The wall clock, in milliseconds since 1970. */
  wallClock?: () => number;
  /** Is told each time whether the wall clock is right. */
  clockCheck?: ClockCheck | null;
}

/** Receives by how much the clock of this collector is ahead of the database's. */
export interface ClockCheck {
  note: (aheadMs: number, isRight: boolean) => void;
}

/** A lease as one collector knows it. */
export interface LeaseState {
  name: string;
  isHeld: boolean;
  /** Number of the holder among all that there were; null while this collector does not have the lease. */
  epoch: number | null;
}

export class Lease {
  readonly #leases: AdminStore['leases'];
  readonly #isShared: boolean;
  readonly #name: string;
  readonly #durationMs: number;
  readonly #clock: () => number;
  readonly #wallClock: () => number;
  readonly #clockCheck: ClockCheck | null;
  readonly #holder = randomUUID();
  #held: Held | null = null;
  #untilMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #taking: Promise<Held | null> | null = null;

  constructor(
    admin: Pick<AdminStore, 'leases' | 'isShared'>,
    name: string,
    {
      durationMs,
      clock = () => performance.now(),
      wallClock = () => Date.now(),
      clockCheck = null,
    }: LeaseOptions,
  ) {
    this.#leases = admin.leases;
    this.#isShared = admin.isShared;
    this.#name = name;
    this.#durationMs = durationMs;
    this.#clock = clock;
    this.#wallClock = wallClock;
    this.#clockCheck = clockCheck;
  }

  /** The lease, if it was taken and can be nobody else's yet. A collector that was frozen finds that it has none. */
  get held(): Held | null {
    return !this.#isShared || this.#clock() < this.#untilMs ? this.#held : null;
  }

  /** Returns whether this collector may act without asking. It always may where no other one uses the database. */
  get isHeld(): boolean {
    return !this.#isShared || this.held !== null;
  }

  get state(): LeaseState {
    return { name: this.#name, isHeld: this.isHeld, epoch: this.held?.epoch ?? null };
  }

  /**
   * Takes or keeps the lease. Resolves to null where another collector has it, or where the clock is wrong. Rejects where the
   * database fails.
   */
  take(): Promise<Held | null> {
    this.#taking ??= this.#take().finally(() => {
      this.#taking = null;
    });
    return this.#taking;
  }

  /**
   * Keeps trying to have the lease. `onHeld` is called each time that it is taken or kept. It does nothing for a database
   * that no other collector uses.
   */
  start(onHeld: () => void): void {
    if (!this.#isShared || this.#timer !== null) return;
    this.#timer = setInterval(async () => {
      try {
        if ((await this.take()) !== null) onHeld();
      } catch {
        // The lease ends by itself. The work that is done for it meets the same error, and reports it.
      }
    }, this.#durationMs / 3);
    this.#timer.unref();
  }

  /** Gives the lease up. It ends by itself where the database cannot be reached. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#taking?.catch(() => {});
    await this.#release();
  }

  async #release(): Promise<void> {
    const held = this.#held;
    this.#held = null;
    if (held !== null && this.#isShared) await this.#leases.release(held).catch(() => {});
  }

  async #isClockRight(): Promise<boolean> {
    const aheadMs = await this.#leases.clockAheadMs(this.#wallClock);
    if (aheadMs === null) return true;
    const isRight = isClockRight(aheadMs);
    this.#clockCheck?.note(aheadMs, isRight);
    return isRight;
  }

  async #take(): Promise<Held | null> {
    if (!(await this.#isClockRight())) {
      await this.#release();
      return null;
    }
    // The database counts from a later moment on.
    const untilMs = this.#clock() + this.#durationMs;
    this.#held = await this.#leases.take(this.#name, this.#holder, this.#durationMs);
    this.#untilMs = untilMs;
    return this.held;
  }
}
