/**
 * Reads samples of a tracepoint (perf_event_open(2), no eBPF): each record with the thread in whose context it was
 * written. Since Linux 4.1 (use_clockid). A processor that is switched on later gives none.
 */
import { BpfUnavailable } from './ebpf_failure.ts';
import { errnoName, lastErrno, libc } from './libc.ts';
import { onlineCpus, openSampleBuffer } from './perf_event.ts';
import { PerfRing } from './perf_ring.ts';
import { whenReadable } from './readable.ts';
import { readTracepointFormat, type TracepointFormat } from './tracepoint_format.ts';

/** For each CPU. */
const RING_BYTES = 64 * 1024;
/** pid and tid, time, size of the record. */
const HEAD_BYTES = 20;

export interface TracepointSample {
  /** In our own pid namespace; 0 for a process that is not in it. */
  pid: number;
  tid: number;
  /** The kernel's monotonic clock. */
  timeNs: bigint;
  /** The bytes that the tracepoint's format describes. They are valid only during the call. */
  record: Buffer;
}

/**
 * Reads the body of one sample (kernel/events/core.c, perf_output_sample: TID, TIME and RAW). Returns null for bytes that
 * are none.
 */
export function sampleIn(body: Buffer): TracepointSample | null {
  if (body.length < HEAD_BYTES) return null;
  return {
    pid: body.readUInt32LE(0),
    tid: body.readUInt32LE(4),
    timeNs: body.readBigUInt64LE(8),
    record: body.subarray(HEAD_BYTES),
  };
}

export class TracepointSamples {
  readonly format: TracepointFormat;
  readonly #rings: PerfRing[] = [];
  readonly #close: (() => void)[] = [];

  private constructor(format: TracepointFormat) {
    this.format = format;
  }

  /**
   * @param filterOf returns the filter of the records; see `openSampleBuffer`.
   * @param onFilling is called when half of a buffer is full.
   * @throws BpfUnavailable when the kernel gives no samples.
   */
  static open(
    tracepoint: string,
    filterOf: (format: TracepointFormat) => string | null,
    onFilling: () => void,
  ): TracepointSamples {
    const samples = new TracepointSamples(readTracepointFormat(tracepoint));
    try {
      const filter = filterOf(samples.format);
      for (const cpu of onlineCpus()) samples.#openBuffer(tracepoint, cpu, filter, onFilling);
    } catch (error) {
      samples.close();
      throw error;
    }
    return samples;
  }

  #openBuffer(tracepoint: string, cpu: number, filter: string | null, onFilling: () => void): void {
    const buffer = openSampleBuffer(this.format.id, cpu, RING_BYTES, filter);
    if (buffer === null) {
      const why = errnoName(lastErrno());
      throw new BpfUnavailable('not_permitted', `samples of ${tracepoint} were refused (${why})`);
    }
    const stopWaiting = whenReadable(buffer.descriptor, onFilling);
    this.#rings.push(new PerfRing(buffer.memory.bytes, buffer.pageBytes, buffer.ringBytes));
    this.#close.push(() => {
      stopWaiting();
      buffer.memory.unmap();
      libc().close(buffer.descriptor);
    });
  }

  /**
   * Calls `handler` for each sample since the last call, those of one CPU after another. `onGap` is called with the time of
   * the last sample of a CPU before which all of its samples are known, and after which some may be lost: there was no
   * room for one of `maxBytes`. Returns the number of samples.
   */
  consume(
    handler: (sample: TracepointSample) => void,
    maxBytes = 0,
    onGap?: (timeNs: bigint) => void,
  ): number {
    let found = 0;
    for (const ring of this.#rings) {
      let lastNs = 0n;
      found += ring.consume((body) => {
        const sample = sampleIn(body);
        if (sample === null) return;
        lastNs = sample.timeNs;
        handler(sample);
      });
      if (onGap !== undefined && !ring.hadRoomFor(maxBytes)) onGap(lastNs);
    }
    return found;
  }

  /** Returns how many samples there was no room for. */
  get lost(): number {
    return this.#rings.reduce((sum, { lost }) => sum + lost, 0);
  }

  close(): void {
    for (const close of this.#close.splice(0)) close();
  }
}
