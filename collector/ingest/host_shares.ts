/**
 * Shares of what the collector can take in, by host: a host that sends as fast as it can, on however many connections, leaves the
 * others theirs.
 */

import { oneSecond, TokenBucket } from '../../common/token_bucket.ts';

export interface ShareLimits {
  bytesPerSecond: number;
  recordsPerSecond: number;
}

/** A host may always send as much: more than its metadata service answers, and enough to deliver a day of an outage in minutes. */
const LEAST: ShareLimits = { bytesPerSecond: 1024 * 1024, recordsPerSecond: 1_000 };
/** Every batch is a frame to read, a transaction to take part in and an acknowledgement, however small it is. */
const RECORDS_OF_A_BATCH = 10;

/** A host that comes back within this time finds its share as it left it: connecting anew gives nothing back. */
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

  /** `all`: what one core reads, of all hosts together. */
  constructor(all: ShareLimits) {
    this.#all = all;
  }

  /** A connection of this host begins to send. */
  join(hostId: string): void {
    this.#forgetThoseWhoLeft();
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

  #forgetThoseWhoLeft(): void {
    const now = performance.now();
    if (now - this.#forgotMs < REMEMBERED_MS) return;
    this.#forgotMs = now;
    for (const [hostId, { connections, leftMs }] of this.#shares) {
      if (connections === 0 && now - leftMs > REMEMBERED_MS) this.#shares.delete(hostId);
    }
  }

  /** Counts what came from a host. Returns for how many milliseconds it may send nothing more; 0 means that it may go on. */
  take(hostId: string, bytes: number, records: number): number {
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
