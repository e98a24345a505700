/** How often each may try: a bucket of tries that fills up again. Bounded in memory. */
import { isIPv6 } from 'node:net';

/** The least recently seen beyond this are forgotten, which is at worst generous to them. */
const MAX_KEYS = 4096;
const MINUTE_MS = 60_000;

interface Bucket {
  tries: number;
  atMs: number;
}

export class RateLimiter {
  readonly #perMinute: number;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  /** `now`: milliseconds; a clock that is set back gives no tries. */
  constructor(perMinute: number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute;
    this.#now = now;
  }

  /** Takes one try. 0 when there was one, else the seconds after which there will be. */
  take(key: string): number {
    const now = this.#now();
    const bucket = this.#buckets.get(key) ?? { tries: this.#perMinute, atMs: now };
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > MAX_KEYS) this.#buckets.delete(this.#buckets.keys().next().value!);
    fill(bucket, this.#perMinute, now);
    if (bucket.tries < 1) return Math.ceil(((1 - bucket.tries) * 60) / this.#perMinute);
    bucket.tries -= 1;
    return 0;
  }

  /** A try that is not to be held against who made it. */
  giveBack(key: string): void {
    const bucket = this.#buckets.get(key);
    if (bucket !== undefined) bucket.tries += 1;
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }
}

function fill(bucket: Bucket, perMinute: number, now: number): void {
  bucket.tries = Math.min(perMinute, bucket.tries + (Math.max(0, now - bucket.atMs) * perMinute) / MINUTE_MS);
  bucket.atMs = now;
}

/** Whoever has one IPv6 address has its whole /64 (RFC 4291 section 2.5.4): they count as one. */
export function networkOf(remoteAddress: string | null): string {
  const address = remoteAddress ?? '';
  if (!isIPv6(address)) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1]!;
  return ipv6Network(address);
}

function ipv6Network(address: string): string {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::', 2);
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : 8 - before.length - after.length - (address.includes('.') ? 1 : 0);
  const groups = [...before, ...new Array<string>(Math.max(0, missing)).fill('0'), ...after];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
