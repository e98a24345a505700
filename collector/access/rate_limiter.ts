/** How often an address may try: a bucket of tries per address that fills up again, and one for everybody together. */
import { isIPv6 } from 'node:net';

export interface RateLimits {
  perAddressPerMinute: number;
  overallPerMinute: number;
}

/** The least recently seen addresses beyond this are forgotten; the bound for everybody together still holds for them. */
const MAX_ADDRESSES = 4096;
const MINUTE_MS = 60_000;

interface Bucket {
  tries: number;
  atMs: number;
}

export class RateLimiter {
  readonly #limits: RateLimits;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();
  readonly #overall: Bucket;

  /** `now`: milliseconds; a clock that is set back gives no tries. */
  constructor(limits: RateLimits, now: () => number = () => performance.now()) {
    this.#limits = limits;
    this.#now = now;
    this.#overall = { tries: limits.overallPerMinute, atMs: now() };
  }

  /** Takes one try. 0 when there was one, else the seconds after which there will be. */
  take(remoteAddress: string | null): number {
    const { perAddressPerMinute, overallPerMinute } = this.#limits;
    const now = this.#now();
    const bucket = this.#bucketOf(networkOf(remoteAddress), now);
    fill(bucket, perAddressPerMinute, now);
    fill(this.#overall, overallPerMinute, now);
    const wait = Math.max(
      secondsUntilNext(bucket, perAddressPerMinute),
      secondsUntilNext(this.#overall, overallPerMinute),
    );
    if (wait > 0) return wait;
    bucket.tries -= 1;
    this.#overall.tries -= 1;
    return 0;
  }

  /** A try that turned out to be a right one is not held against the address. */
  giveBack(remoteAddress: string | null): void {
    const bucket = this.#buckets.get(networkOf(remoteAddress));
    if (bucket !== undefined) bucket.tries += 1;
    this.#overall.tries += 1;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  #bucketOf(network: string, now: number): Bucket {
    const known = this.#buckets.get(network);
    this.#buckets.delete(network);
    const bucket = known ?? { tries: this.#limits.perAddressPerMinute, atMs: now };
    this.#buckets.set(network, bucket);
    if (this.#buckets.size > MAX_ADDRESSES) this.#buckets.delete(this.#buckets.keys().next().value!);
    return bucket;
  }
}

function fill(bucket: Bucket, perMinute: number, now: number): void {
  bucket.tries = Math.min(perMinute, bucket.tries + (Math.max(0, now - bucket.atMs) * perMinute) / MINUTE_MS);
  bucket.atMs = now;
}

function secondsUntilNext({ tries }: Bucket, perMinute: number): number {
  return tries >= 1 ? 0 : Math.ceil(((1 - tries) * 60) / perMinute);
}

/** Whoever has one IPv6 address has its whole /64 (RFC 4291 section 2.5.4): they count as one. */
function networkOf(remoteAddress: string | null): string {
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
