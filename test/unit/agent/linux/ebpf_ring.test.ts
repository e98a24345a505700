import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { RingReader } from '../../../../agent/linux/ebpf_ring.ts';

const PAGE_BYTES = 4096;
const RING_BYTES = 4096;
const BUSY = 0x80000000;
const DISCARD = 0x40000000;

/**
 * The kernel's side of the ring, on ordinary memory: kernel/bpf/ringbuf.c, __bpf_ringbuf_reserve and _commit.
 */
class Kernel {
  readonly consumer = new ArrayBuffer(PAGE_BYTES);
  readonly producer = new ArrayBuffer(PAGE_BYTES + 2 * RING_BYTES);
  readonly #view = new DataView(this.producer);
  #position: number;

  constructor(start = 0) {
    this.#position = start;
    new BigInt64Array(this.consumer)[0] = BigInt(start);
    this.#view.setBigUint64(0, BigInt(start), true);
  }

  get consumed(): number {
    return Number(new BigInt64Array(this.consumer)[0]);
  }

  /** Reserves and fills a record; null when there is no room. The result commits it. */
  reserve(bytes: Uint8Array): ((flag?: number) => void) | null {
    const total = (8 + bytes.length + 7) & ~7;
    if (this.#position + total - this.consumed > RING_BYTES) return null;
    const at = this.#position % RING_BYTES;
    this.#set(at, BUSY + bytes.length);
    for (const [i, byte] of bytes.entries()) {
      // The second half is the first half again.
      this.#view.setUint8(PAGE_BYTES + ((at + 8 + i) % RING_BYTES), byte);
      this.#view.setUint8(PAGE_BYTES + RING_BYTES + ((at + 8 + i) % RING_BYTES), byte);
    }
    this.#position += total;
    this.#view.setBigUint64(0, BigInt(this.#position), true);
    return (flag = 0) => this.#set(at, flag + bytes.length);
  }

  #set(at: number, header: number): void {
    this.#view.setUint32(PAGE_BYTES + at, header, true);
    this.#view.setUint32(PAGE_BYTES + RING_BYTES + at, header, true);
  }

  reader(): RingReader {
    return new RingReader(this.consumer, this.producer, PAGE_BYTES, RING_BYTES);
  }
}

function read(reader: RingReader): number[][] {
  const records: number[][] = [];
  const count = reader.consume((record) => records.push([...record]));
  assert.equal(count, records.length);
  return records;
}

describe('the ring reader', () => {
  it('stops at a record that is being written, and goes on there', () => {
    const kernel = new Kernel();
    const reader = kernel.reader();
    kernel.reserve(Uint8Array.of(1))!();
    const late = kernel.reserve(Uint8Array.of(2))!;
    kernel.reserve(Uint8Array.of(3))!();
    assert.deepEqual(read(reader), [[1]]);
    assert.deepEqual(read(reader), []);
    late();
    assert.deepEqual(read(reader), [[2], [3]]);
  });

  it('skips what was thrown away and gives its room back', () => {
    const kernel = new Kernel();
    const reader = kernel.reader();
    kernel.reserve(Uint8Array.of(1, 2, 3))!(DISCARD);
    assert.deepEqual(read(reader), []);
    assert.equal(kernel.consumed, 16);
  });

  // Positions past 2^31 and 2^32 bytes: the low half wraps, the position written back does not.
  for (const start of [0, 2 ** 31 - 64, 2 ** 32 - 64, 2 ** 40]) {
    it(`gives every record once and in order, from position ${start} on`, () => {
      fc.assert(
        fc.property(
          fc.array(fc.oneof(fc.uint8Array({ maxLength: 1500 }), fc.constant('drain' as const)), {
            maxLength: 80,
          }),
          (actions) => {
            const kernel = new Kernel(start);
            const reader = kernel.reader();
            const written: number[][] = [];
            const got: number[][] = [];
            for (const action of actions) {
              if (action === 'drain') {
                got.push(...read(reader));
                continue;
              }
              const commit = kernel.reserve(action);
              if (commit === null) continue;
              commit();
              written.push([...action]);
            }
            got.push(...read(reader));
            assert.deepEqual(got, written);
            assert.deepEqual(read(reader), []);
          },
        ),
      );
    });
  }
});
