import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PerfRing } from '../../../../agent/linux/perf_ring.ts';

const PAGE_BYTES = 4096;
const RING_BYTES = 4096;
const LOST = 2;
const SAMPLE = 9;
const OTHER = 3;

/** The kernel's side of the buffer, on ordinary memory: kernel/events/ring_buffer.c, perf_output_begin and _end. */
class Kernel {
  readonly memory = new ArrayBuffer(PAGE_BYTES + RING_BYTES);
  readonly #view = new DataView(this.memory);
  #position: number;
  #lost = 0;

  constructor(start: number) {
    this.#position = start;
    this.#view.setBigUint64(1024, BigInt(start), true);
    this.#view.setBigUint64(1032, BigInt(start), true);
  }

  get read(): number {
    return Number(this.#view.getBigUint64(1032, true));
  }

  /** Writes a record of the program; returns whether there was room. */
  output(bytes: Uint8Array): boolean {
    if (this.#lost > 0) {
      const body = Buffer.alloc(16);
      body.writeBigUInt64LE(BigInt(this.#lost), 8);
      if (!this.#write(LOST, body)) return this.#lose();
      this.#lost = 0;
    }
    // Size and bytes of the program, up to a multiple of 8.
    const body = Buffer.alloc(((4 + bytes.length + 7) & ~7) - 0);
    body.writeUInt32LE(body.length - 4, 0);
    body.set(bytes, 4);
    return this.#write(SAMPLE, body) || this.#lose();
  }

  other(bytes: number): boolean {
    return this.#write(OTHER, Buffer.alloc(bytes & ~7));
  }

  #lose(): boolean {
    this.#lost++;
    return false;
  }

  #write(type: number, body: Buffer): boolean {
    const size = 8 + body.length;
    if (this.#position + size - this.read > RING_BYTES) return false;
    const header = Buffer.alloc(8);
    header.writeUInt32LE(type, 0);
    header.writeUInt16LE(size, 6);
    for (const byte of [...header, ...body]) {
      this.#view.setUint8(PAGE_BYTES + (this.#position++ % RING_BYTES), byte);
    }
    this.#view.setBigUint64(1024, BigInt(this.#position), true);
    return true;
  }
}

describe('PerfRing', () => {
  it('gives every record once and in order, and counts those that were lost', () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({ what: fc.constant('output'), length: fc.integer({ min: 1, max: 300 }) }),
        fc.record({ what: fc.constant('read'), length: fc.constant(0) }),
        fc.record({ what: fc.constant('other'), length: fc.integer({ min: 8, max: 64 }) }),
      ),
      { maxLength: 120 },
    );
    const starts = fc.constantFrom(0, 4096 - 8, 2 ** 31 - 16, 2 ** 32 - 64);
    fc.assert(
      fc.property(starts, steps, (start, list) => {
        const kernel = new Kernel(start);
        const ring = new PerfRing(kernel.memory, PAGE_BYTES, RING_BYTES);
        const [sent, got]: [string[], string[]] = [[], []];
        let dropped = 0;
        let droppedBefore = 0;
        const read = () => {
          ring.consume((record) => {
            got.push(record.toString('hex', 4));
          });
          // The longest record of this test with the report of lost ones before it takes 336 bytes.
          const hadRoom = ring.hadRoomFor(336);
          if (dropped > droppedBefore) assert.ok(!hadRoom, 'a lost record was not noticed');
          droppedBefore = dropped;
        };
        for (const [i, { what, length }] of list.entries()) {
          if (what === 'read') read();
          else if (what === 'other') kernel.other(length);
          else {
            const bytes = Buffer.alloc(length, i + 1);
            if (kernel.output(bytes)) sent.push(bytes.toString('hex'));
            else dropped++;
          }
        }
        read();
        kernel.output(Buffer.alloc(8, 0xff));
        sent.push('ff'.repeat(8));
        read();
        assert.equal(got.length, sent.length);
        for (const [i, record] of got.entries()) assert.ok(record.startsWith(sent[i]!));
        assert.equal(ring.lost, dropped);
        assert.equal(
          ring.consume(() => assert.fail('a record was given twice')),
          0,
        );
      }),
    );
  });

  it('knows that nothing was lost while it was half empty', () => {
    const kernel = new Kernel(2 ** 32 - 64);
    const ring = new PerfRing(kernel.memory, PAGE_BYTES, RING_BYTES);
    for (let i = 0; i < 10; i++) kernel.output(Buffer.alloc(100));
    ring.consume(() => {});
    assert.ok(ring.hadRoomFor(336));
    for (let i = 0; i < 100; i++) kernel.output(Buffer.alloc(100));
    ring.consume(() => {});
    ring.consume(() => {});
    assert.ok(!ring.hadRoomFor(336), 'a second round forgot it');
    assert.ok(ring.hadRoomFor(336), 'it was said already');
  });

  it('stops at what is no record', () => {
    const kernel = new Kernel(0);
    const ring = new PerfRing(kernel.memory, PAGE_BYTES, RING_BYTES);
    new DataView(kernel.memory).setBigUint64(1024, 64n, true);
    assert.equal(
      ring.consume(() => assert.fail()),
      0,
    );
  });
});
