/**
 * Reads an eBPF ring buffer directly from the memory that it shares with the kernel (kernel/bpf/ringbuf.c,
 * Documentation/bpf/ringbuf.rst). That needs no system call and no call into C; an empty ring costs one load.
 *
 * libbpf's ring_buffer__consume calls a C callback for each record. From JavaScript, with caches cold between
 * two packets, that took some 16 µs per record.
 */

/** Each record has a header: a 32-bit length with two flags in it, and 32 bits that only the kernel uses. */
const RECORD_HEADER_BYTES = 8;
const BUSY_BIT = 0x80000000;
const DISCARD_BIT = 0x40000000;

export class RingReader {
  readonly #consumerPosition: BigInt64Array;
  /** The low half of the producer's position. It is enough, because a ring is never longer than 4 GiB. */
  readonly #producerPosition: Int32Array;
  readonly #headers: Int32Array;
  readonly #data: Buffer;
  readonly #mask: number;
  #position: number;

  /**
   * @param consumer the page that holds our position, writable.
   * @param producer the page that holds the kernel's position, then the ring, twice in a row (so that a
   *   record that wraps around is still in one piece).
   * @param pageBytes offset of the ring in `producer`.
   * @param ringBytes a power of two.
   */
  constructor(consumer: ArrayBuffer, producer: ArrayBuffer, pageBytes: number, ringBytes: number) {
    this.#consumerPosition = new BigInt64Array(consumer, 0, 1);
    this.#producerPosition = new Int32Array(producer, 0, 1);
    this.#headers = new Int32Array(producer, pageBytes, ringBytes / 4);
    this.#data = Buffer.from(producer, pageBytes, 2 * ringBytes);
    this.#mask = ringBytes - 1;
    this.#position = Number(this.#consumerPosition[0]);
  }

  /**
   * Calls `handler` for each finished record, oldest first, and returns their number. The bytes of a record
   * are the shared memory itself and are valid only during the call. Stops before a record that is being
   * written.
   */
  consume(handler: (record: Buffer) => void): number {
    const begin = this.#position;
    let position = begin;
    let records = 0;
    while (Atomics.load(this.#producerPosition, 0) !== (position | 0)) {
      const at = position & this.#mask;
      // The load is atomic, so that the bytes are not read before the kernel has finished them.
      const header = Atomics.load(this.#headers, at >>> 2);
      if (header & BUSY_BIT) break;
      const length = header & ~DISCARD_BIT;
      position += (RECORD_HEADER_BYTES + length + 7) & ~7;
      if (header & DISCARD_BIT) continue;
      records++;
      handler(this.#data.subarray(at + RECORD_HEADER_BYTES, at + RECORD_HEADER_BYTES + length));
    }
    if (position !== begin) {
      this.#position = position;
      Atomics.store(this.#consumerPosition, 0, BigInt(position));
    }
    return records;
  }
}
