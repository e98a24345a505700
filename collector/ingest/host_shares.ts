/**
 * Divides what the collector can read among hosts. A host that sends as fast as it can, on any number of
 * connections, slows no other.
 */

import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';

export interface ShareLimits {
  bytesPerSecond: number;
  recordsPerSecond: number;
}

/**
 * Share that every host has at least: more than its metadata service answers, and a day of an outage is
 * delivered in minutes.
 */
const LEAST: ShareLimits = { bytesPerSecond: 1024 * 1024, recordsPerSecond: 1_000 };
/**
 * Every batch is a frame to read, a transaction to take part in and an acknowledgement, however small it is.
 */
const RECORDS_OF_A_BATCH = 10;

/**
 * A host that reconnects within this time has the same share as before: reconnecting gives it no advantage.
 */
const REMEMBERED_MS = 60_000;

class HostShare {
  connections = 0;
  leftMs = 0;
  readonly bytes: TokenBucket;
  readonly records: TokenBucket;

  constructor({ bytesPerSecond, recordsPerSecond }: ShareLimits, nowMs: number) {
    this.bytes = new TokenBucket(oneSecond(bytesPerSecond), nowMs);
    this.records = new TokenBucket(oneSecond(recordsPerSecond), nowMs);
  }
}

export class HostShares {
  readonly #all: ShareLimits;
  readonly #shares = new Map<string, HostShare>();
  #forgotMs = performance.now();

  /** `all`: limits of all hosts together, about what one core reads. */
  constructor(all: ShareLimits) {
    this.#all = all;
  }

  /** Notes that a connection of this host begins to send. */
  join(hostId: string): void {
    this.#forgetAbsentHosts();
    let share = this.#shares.get(hostId);
    if (share === undefined) {
      share = new HostShare(this.#limits(), performance.now());
      this.#shares.set(hostId, share);
    }
    share.connections += 1;
  }

  leave(hostId: string): void {
    const share = this.#shares.get(hostId);
    if (share === undefined) return;
    share.connections -= 1;
    share.leftMs = performance.now();
  }

  #forgetAbsentHosts(): void {
    const now = performance.now();
    if (now - this.#forgotMs < REMEMBERED_MS) return;
    this.#forgotMs = now;
    for (const [hostId, { connections, leftMs }] of this.#shares) {
      if (connections === 0 && now - leftMs > REMEMBERED_MS) this.#shares.delete(hostId);
    }
  }

  /**
   * Counts bytes and records of a host. Returns for how many milliseconds it may send nothing more; 0 means
   * that it may go on.
   */
  count(hostId: string, bytes: number, records: number): number {
    const share = this.#shares.get(hostId);
    if (share === undefined) return 0;
    const { bytesPerSecond, recordsPerSecond } = this.#limits();
    share.bytes.setRate(oneSecond(bytesPerSecond));
    share.records.setRate(oneSecond(recordsPerSecond));
    const now = performance.now();
    return Math.max(
      share.bytes.takeOnCredit(bytes, now),
      share.records.takeOnCredit(records + RECORDS_OF_A_BATCH, now),
    );
  }

  #limits(): ShareLimits {
    const hosts = Math.max(1, this.#shares.size);
    const least = (key: keyof ShareLimits) => Math.min(LEAST[key], this.#all[key]);
    return {
      bytesPerSecond: Math.max(least('bytesPerSecond'), this.#all.bytesPerSecond / hosts),
      recordsPerSecond: Math.max(least('recordsPerSecond'), this.#all.recordsPerSecond / hosts),
    };
  }
}
