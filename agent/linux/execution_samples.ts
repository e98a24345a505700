/**
 * Reads which programs begin, by samples of the tracepoint sched:sched_process_exec (perf_event_open(2), no eBPF): the
 * path that execve(2) got is known even of a program that ends before /proc is read. Since Linux 4.1 (use_clockid).
 */
import { BpfUnavailable } from './ebpf_failure.ts';
import { errnoName, lastErrno, libc } from './libc.ts';
import { onlineCpus, openExecutionBuffer } from './perf_event.ts';
import { PerfRing } from './perf_ring.ts';
import { whenReadable } from './readable.ts';
import { readTracepointFormat, type TracepointFormat } from './tracepoint_format.ts';

const TRACEPOINT = 'sched/sched_process_exec';
/** For each CPU. A program takes 60 to 300 bytes. */
const RING_BYTES = 64 * 1024;

/** A program that began. */
export interface Execution {
  pid: number;
  /** The kernel's monotonic clock. */
  timeNs: bigint;
  /** The path that execve(2) got: perhaps a symbolic link or a script. */
  path: string;
}

/**
 * Reads the body of one sample: pid and tid, time, size of the record, record. The format tells where the path is
 * (Documentation/trace/events.rst, __data_loc). Returns null for bytes that are none.
 */
export function executionIn(body: Buffer, format: TracepointFormat): Execution | null {
  const place = format.fields.get('filename');
  const record = body.subarray(20);
  if (place?.size !== 4 || record.length < place.offset + 4) return null;
  const at = record.readUInt16LE(place.offset);
  const end = record.indexOf(0, at);
  if (at === 0 || end < at) return null;
  return {
    pid: body.readUInt32LE(0),
    timeNs: body.readBigUInt64LE(8),
    path: record.toString('utf8', at, end),
  };
}

export class ExecutionSamples {
  readonly #format: TracepointFormat;
  readonly #rings: PerfRing[] = [];
  readonly #close: (() => void)[] = [];

  private constructor(format: TracepointFormat) {
    this.#format = format;
  }

  /**
   * @param onFilling is called when half of a buffer is full.
   * @throws BpfUnavailable when the kernel gives no samples.
   */
  static open(onFilling: () => void): ExecutionSamples {
    const samples = new ExecutionSamples(readTracepointFormat(TRACEPOINT));
    for (const cpu of onlineCpus()) {
      const buffer = openExecutionBuffer(samples.#format.id, cpu, RING_BYTES);
      if (buffer === null) {
        const errno = lastErrno();
        samples.close();
        throw new BpfUnavailable(
          'not_permitted',
          `samples of ${TRACEPOINT} were refused (${errnoName(errno)})`,
        );
      }
      const stopWaiting = whenReadable(buffer.descriptor, onFilling);
      samples.#rings.push(new PerfRing(buffer.memory.bytes, buffer.pageBytes, buffer.ringBytes));
      samples.#close.push(() => {
        stopWaiting();
        buffer.memory.unmap();
        libc().close(buffer.descriptor);
      });
    }
    return samples;
  }

  /** Returns the programs that have begun since the last call, in no order. */
  read(): Execution[] {
    const executions: Execution[] = [];
    for (const ring of this.#rings) {
      ring.consume((body) => {
        const execution = executionIn(body, this.#format);
        if (execution !== null) executions.push(execution);
      });
    }
    return executions;
  }

  /** Returns how many samples there was no room for. */
  get lost(): number {
    return this.#rings.reduce((sum, { lost }) => sum + lost, 0);
  }

  close(): void {
    for (const close of this.#close) close();
  }
}
