/**
 * Receives process events by samples of tracepoints (perf_event_open(2)), where the process connector (netlink_process.ts)
 * delivers none: which process began, ran another program, or ended. It needs CAP_PERFMON (before Linux 5.8
 * CAP_SYS_ADMIN) and no CAP_NET_ADMIN, and works in every network namespace. Changes of a user are not reported.
 *
 * Sources: include/trace/events/task.h (task_newtask) and sched.h (sched_process_exec, sched_process_exit).
 */
import { statSync } from 'node:fs';
import { BpfUnavailable } from './ebpf_failure.ts';
import { executionIn } from './execution_samples.ts';
import { errnoName, lastErrno, libc } from './libc.ts';
import { onlineCpus, openSampleBuffer, openSampleSource } from './perf_event.ts';
import { PerfRing } from './perf_ring.ts';
import type { ProcessEvent } from './process_event.ts';
import { whenReadable } from './readable.ts';
import { readTracepointFormat, type TracepointFormat } from './tracepoint_format.ts';
import { sampleIn } from './tracepoint_samples.ts';

const FORK = 'task/task_newtask';
const EXEC = 'sched/sched_process_exec';
const EXIT = 'sched/sched_process_exit';
/** CLONE_THREAD and CLONE_PARENT (include/uapi/linux/sched.h): a thread, and a child of somebody else. */
const NOT_A_CHILD = 0x10000 | 0x8000;
/** For all CPUs together; a process takes some 250 bytes from its begin to its end. */
const ALL_RING_BYTES = 8 * 1024 * 1024;
const MIN_RING_BYTES = 64 * 1024;
const MAX_RING_BYTES = 256 * 1024;
/** More than a sample takes: a path of 4096 bytes at most, and the numbers. */
const MAX_SAMPLE_BYTES = 4_400;
/** Bound on the rounds of one reading; see `ProcessSamples.read`. */
const MAX_ROUNDS = 16;
/** Inode number of the initial pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const INITIAL_PID_NAMESPACE_INODE = 0xeffffffc;

type SampledEvent = Exclude<ProcessEvent, { kind: 'answer' }>;

/** The formats of the three tracepoints. */
export interface ProcessFormats {
  fork: TracepointFormat;
  exec: TracepointFormat;
  exit: TracepointFormat;
}

/**
 * Reads one sample of any of the three tracepoints. Returns null for bytes that are none, and for events of threads. A
 * process that is to be its creator's sibling is left out, too: who its parent is, /proc says when it runs a program.
 */
export function processEventIn(body: Buffer, { fork, exec, exit }: ProcessFormats): SampledEvent | null {
  const sample = sampleIn(body);
  if (sample === null || sample.pid === 0 || sample.record.length < 2) return null;
  const { pid, tid, timeNs, record } = sample;
  // Every record begins with the number of its tracepoint, `common_type`.
  const type = record.readUInt16LE(0);
  if (type === exec.id) {
    const execution = executionIn(sample, exec);
    return { kind: 'exec', pid, timeNs, ...(execution !== null && { path: execution.path }) };
  }
  if (type === fork.id) {
    const [child, flags] = [numberIn(record, fork, 'pid'), numberIn(record, fork, 'clone_flags')];
    if (child === null || flags === null || (flags & NOT_A_CHILD) !== 0) return null;
    return { kind: 'fork', pid: child, parentPid: pid, timeNs };
  }
  return type === exit.id && pid === tid ? { kind: 'exit', pid, timeNs } : null;
}

/** Returns the low 32 bits of a field; null if the record ends before it. */
function numberIn(record: Buffer, format: TracepointFormat, name: string): number | null {
  const field = format.fields.get(name);
  if (field === undefined || field.size < 4 || record.length < field.offset + 4) return null;
  return record.readUInt32LE(field.offset);
}

/** Returns the size of one CPU's buffer: a power of two. */
export function ringBytesFor(cpus: number): number {
  const share = 2 ** Math.floor(Math.log2(ALL_RING_BYTES / cpus));
  return Math.min(MAX_RING_BYTES, Math.max(MIN_RING_BYTES, share));
}

export class ProcessSamples {
  readonly reportsUsers = false;
  readonly reportsPaths = true;
  readonly #formats: ProcessFormats;
  readonly #rings: PerfRing[] = [];
  readonly #close: (() => void)[] = [];
  /** Events that were read and not handled yet. */
  #waiting: SampledEvent[] = [];
  /** From here on, an event of another CPU that happened before may not have been read. */
  #unordered: SampledEvent[] = [];
  #lost = 0;
  #continuation: NodeJS.Immediate | null = null;
  readonly #onEvents: () => void;

  private constructor(onEvents: () => void) {
    this.#onEvents = onEvents;
    this.#formats = {
      fork: readTracepointFormat(FORK),
      exec: readTracepointFormat(EXEC),
      exit: readTracepointFormat(EXIT),
    };
  }

  /**
   * Begins to receive.
   * @param onEvents is called when events wait.
   * @throws BpfUnavailable when the kernel gives no samples, or when its pids are not ours.
   */
  static open(onEvents: () => void): ProcessSamples {
    // The child's pid in a sample is that of the initial namespace.
    if (statSync('/proc/self/ns/pid').ino !== INITIAL_PID_NAMESPACE_INODE) {
      throw new BpfUnavailable(
        'not_permitted',
        'Process events are of use in the initial pid namespace only',
      );
    }
    const samples = new ProcessSamples(onEvents);
    try {
      const cpus = onlineCpus();
      for (const cpu of cpus) samples.#openBuffer(cpu, ringBytesFor(cpus.length));
    } catch (error) {
      samples.close();
      throw error;
    }
    return samples;
  }

  /** Opens one buffer for the three tracepoints of a CPU, so that their samples are in order. */
  #openBuffer(cpu: number, ringBytes: number): void {
    const { fork, exec, exit } = this.#formats;
    const buffer = openSampleBuffer(exec.id, cpu, ringBytes, null, 1);
    if (buffer === null) throw refused(EXEC);
    const { close } = libc();
    const stopWaiting = whenReadable(buffer.descriptor, this.#onEvents);
    this.#rings.push(new PerfRing(buffer.memory.bytes, buffer.pageBytes, buffer.ringBytes));
    this.#close.push(() => {
      stopWaiting();
      buffer.memory.unmap();
      close(buffer.descriptor);
    });
    for (const [name, id, filter] of [
      [FORK, fork.id, `!(clone_flags & ${NOT_A_CHILD})`],
      [EXIT, exit.id, null],
    ] as const) {
      const source = openSampleSource(id, cpu, filter, buffer.descriptor);
      if (source < 0) throw refused(name);
      this.#close.push(() => close(source));
    }
  }

  /**
   * Calls `handler` for each event that waits, oldest first, but for no more than `maxEvents`. Returns false if events
   * were lost since the last call: a buffer was full.
   */
  read(handler: (event: ProcessEvent) => void, maxEvents: number): boolean {
    const isComplete = this.#collect();
    for (const event of this.#waiting.splice(0, maxEvents)) handler(event);
    // The kernel does not wake us again for what has been read.
    if (this.#waiting.length + this.#unordered.length > 0) this.#continue();
    return isComplete;
  }

  /**
   * Reads the buffers until a round finds nothing. Then every event is there that happened before one that was read: a
   * process runs its program on another CPU after it was created on this one. The events of a last round that found some
   * wait for the next reading.
   */
  #collect(): boolean {
    let isComplete = true;
    const events = this.#unordered;
    this.#unordered = [];
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      const found: SampledEvent[] = [];
      let samples = 0;
      for (const ring of this.#rings) {
        const lostBefore = ring.lost;
        samples += ring.consume((body) => {
          const event = processEventIn(body, this.#formats);
          if (event !== null) found.push(event);
        });
        this.#lost += ring.lost - lostBefore;
        if (ring.lost !== lostBefore || !ring.hadRoomFor(MAX_SAMPLE_BYTES)) isComplete = false;
      }
      if (samples === 0) break;
      if (round === MAX_ROUNDS) this.#unordered = found;
      else events.push(...found);
    }
    if (events.length > 0) {
      this.#waiting.push(...events.sort((one, other) => Number(one.timeNs - other.timeNs)));
    }
    return isComplete;
  }

  #continue(): void {
    this.#continuation ??= setImmediate(() => {
      this.#continuation = null;
      this.#onEvents();
    }).unref();
  }

  /** Returns how many events there was no room for, as far as the kernel has said so. */
  get lost(): number {
    return this.#lost;
  }

  close(): void {
    if (this.#continuation !== null) clearImmediate(this.#continuation);
    for (const close of this.#close.splice(0)) close();
  }
}

function refused(tracepoint: string): BpfUnavailable {
  return new BpfUnavailable(
    'not_permitted',
    `samples of ${tracepoint} were refused (${errnoName(lastErrno())})`,
  );
}
