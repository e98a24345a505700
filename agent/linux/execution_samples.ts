/**
 * Reads which programs begin, by samples of the tracepoint sched:sched_process_exec: the path that execve(2) got is
 * known even of a program that ends before /proc is read.
 */
import type { TracepointFormat } from './tracepoint_format.ts';
import { type TracepointSample, TracepointSamples } from './tracepoint_samples.ts';

const TRACEPOINT = 'sched/sched_process_exec';

/** A program that began. */
export interface Execution {
  pid: number;
  /** The kernel's monotonic clock. */
  timeNs: bigint;
  /** The path that execve(2) got: perhaps a symbolic link or a script. */
  path: string;
}

/**
 * Reads one sample. The format tells where the path is (Documentation/trace/events.rst, __data_loc). Returns null for a
 * record that is none.
 */
export function executionIn(
  { pid, timeNs, record }: TracepointSample,
  format: TracepointFormat,
): Execution | null {
  const place = format.fields.get('filename');
  if (place?.size !== 4 || record.length < place.offset + 4) return null;
  const at = record.readUInt16LE(place.offset);
  const end = record.indexOf(0, at);
  if (at === 0 || end < at) return null;
  return { pid, timeNs, path: record.toString('utf8', at, end) };
}

export class ExecutionSamples {
  readonly #samples: TracepointSamples;

  private constructor(samples: TracepointSamples) {
    this.#samples = samples;
  }

  /**
   * @param onFilling is called when half of a buffer is full.
   * @throws BpfUnavailable when the kernel gives no samples.
   */
  static open(onFilling: () => void): ExecutionSamples {
    return new ExecutionSamples(TracepointSamples.open(TRACEPOINT, () => null, onFilling));
  }

  /** Returns the programs that have begun since the last call, in no order. */
  read(): Execution[] {
    const executions: Execution[] = [];
    this.#samples.consume((sample) => {
      const execution = executionIn(sample, this.#samples.format);
      if (execution !== null) executions.push(execution);
    });
    return executions;
  }

  /** Returns how many samples there was no room for. */
  get lost(): number {
    return this.#samples.lost;
  }

  close(): void {
    this.#samples.close();
  }
}
