/**
 * Reads one perf buffer directly from the memory that it shares with the kernel (include/uapi/linux/perf_event.h,
 * struct perf_event_mmap_page and enum perf_event_type). An empty buffer costs one load.
 */

const DATA_HEAD = 1024;
const DATA_TAIL = 1032;
const HEADER_BYTES = 8;
const PERF_RECORD_LOST = 2;
const PERF_RECORD_SAMPLE = 9;
/** The longest record: its size has 16 bits. */
const MAX_RECORD_BYTES = 65_536;

export class PerfRing {
  /** The low half of the kernel's position. It is enough, because a ring is never longer than 4 GiB. */
  readonly #head: Int32Array;
  readonly #tail: BigInt64Array;
  readonly #data: Buffer;
  readonly #mask: number;
  readonly #record = Buffer.alloc(MAX_RECORD_BYTES);
  #position: number;
  /** Records for which there was no room, as far as the kernel has reported them. */
  lost = 0;
  #fullest = 0;

  /**
   * @param memory a page of positions, then the ring.
   * @param ringBytes a power of two.
   */
  constructor(memory: ArrayBuffer, pageBytes: number, ringBytes: number) {
    this.#head = new Int32Array(memory, DATA_HEAD, 1);
    this.#tail = new BigInt64Array(memory, DATA_TAIL, 1);
    this.#data = Buffer.from(memory, pageBytes, ringBytes);
    this.#mask = ringBytes - 1;
    this.#position = Number(this.#tail[0]);
  }

  /**
   * Calls `handler` with the body of each sample, oldest first, and returns their number. What is in it depends on the
   * kind of samples (struct perf_event_mmap_page, PERF_RECORD_SAMPLE); at its end there may be bytes without a meaning.
   * The bytes are valid only during the call.
   */
  consume(handler: (body: Buffer) => void): number {
    let records = 0;
    let position = this.#position;
    const head = Atomics.load(this.#head, 0);
    this.#fullest = Math.max(this.#fullest, (head - (position | 0)) >>> 0);
    while ((position | 0) !== head) {
      const at = position & this.#mask;
      // Records begin at multiples of 8, so a header is never in two pieces.
      const type = this.#data.readUInt32LE(at);
      const size = this.#data.readUInt16LE(at + 6);
      if (size < HEADER_BYTES) break; // no record of the kernel: the rest cannot be read either
      if (type === PERF_RECORD_LOST) {
        this.lost += Number(this.#copy(at, size).readBigUInt64LE(HEADER_BYTES + 8));
      } else if (type === PERF_RECORD_SAMPLE) {
        records++;
        handler(this.#copy(at, size).subarray(HEADER_BYTES));
      }
      position += size;
    }
    if (position !== this.#position) {
      this.#position = position;
      Atomics.store(this.#tail, 0, BigInt(position));
    }
    return records;
  }

  /**
   * Returns whether there was room for each record of at most `bytes` since the last call, as far as it was consumed. The
   * kernel reports lost records only with the next one that it writes, and between two readings a ring only fills.
   */
  hadRoomFor(bytes: number): boolean {
    const hadRoom = this.#fullest + bytes <= this.#data.length;
    this.#fullest = 0;
    return hadRoom;
  }

  /** Returns a record in one piece, though it may wrap around the end of the ring. */
  #copy(at: number, size: number): Buffer {
    const first = Math.min(size, this.#data.length - at);
    this.#data.copy(this.#record, 0, at, at + first);
    if (first < size) this.#data.copy(this.#record, first, 0, size - first);
    return this.#record.subarray(0, size);
  }
}
