/**
 * Keeps the table of processes by the kernel's process events. The events wake us, so that /proc is read while a program
 * starts: a dynamically linked one takes milliseconds before it connects.
 */
import type { Counters } from '../../protocol/records.ts';
import { cgroupPaths } from '../linux/cgroup.ts';
import { BpfUnavailable } from '../linux/ebpf_failure.ts';
import { type Execution, ExecutionSamples } from '../linux/execution_samples.ts';
import { monotonicNs } from '../linux/libc.ts';
import { ProcessEventSocket } from '../linux/netlink_process.ts';
import { NetlinkRefused } from '../linux/netlink_socket.ts';
import { HeldProcess } from '../linux/proc_reader.ts';
import type { ProcessEvent } from '../linux/process_event.ts';
import { ProcessSamples } from '../linux/process_samples.ts';
import { whenReadable } from '../linux/readable.ts';
import { EVENT_DELAY_NS, type ProcessReading, ProcessTable } from './process_table.ts';

/** Arguments of a process that are remembered, in characters. The rest is read from /proc while it lives. */
const MAX_ARGUMENT_CHARACTERS = 8_192;

/** Bound on the events that are read when they wake us, so that a storm of processes keeps no packets waiting. */
const MAX_EVENTS_WOKEN = 128;
/** The same when a caller is to be described: everything that it did before must be known then. */
const MAX_EVENTS_POLLED = 16_384;

/** A source of process events. */
interface ProcessEvents {
  /** These state whether changes of a user are reported, and the path of each program. */
  reportsUsers: boolean;
  reportsPaths: boolean;
  /** See `ProcessEventSocket.read`. */
  read(handler: (event: ProcessEvent) => void, maxEvents: number): boolean;
  close(): void;
}

export class ProcessWatch {
  readonly table: ProcessTable;
  /** See `Attributor.onNamespace`. */
  onNamespace: ((netns: number, pid: number) => void) | null = null;
  readonly #events: ProcessEvents;
  /**
   * Null where the kernel gives none: then the path of a program that ends at once is not known. Null, too, where the
   * events have the path.
   */
  readonly #executions: ExecutionSamples | null;
  /** Samples that were read before the event about the same program had come. */
  #early: Execution[] = [];

  private constructor(open: (onEvents: () => void) => ProcessEvents, procRoot: string) {
    this.#events = open(() => this.#read(MAX_EVENTS_WOKEN));
    this.table = new ProcessTable((pid) => this.#readProcess(procRoot, pid), monotonicNs, {
      reportsUsers: this.#events.reportsUsers,
    });
    this.#executions = this.#events.reportsPaths ? null : openExecutions(() => this.poll());
  }

  /**
   * Uses the process connector, because it reports changes of a user, too; where it is refused, samples of tracepoints.
   * @throws NetlinkRefused when the kernel delivers no events to us, with both reasons.
   */
  static open(procRoot = '/proc'): ProcessWatch {
    try {
      return new ProcessWatch(openConnector, procRoot);
    } catch (error) {
      if (!(error instanceof NetlinkRefused)) throw error;
      return ProcessWatch.openSamples(procRoot, `${error.message}; `);
    }
  }

  /**
   * Uses samples of tracepoints.
   * @param reason why nothing better is used, for the error.
   * @throws NetlinkRefused when the kernel gives none.
   */
  static openSamples(procRoot = '/proc', reason = ''): ProcessWatch {
    try {
      return new ProcessWatch((onEvents) => ProcessSamples.open(onEvents), procRoot);
    } catch (error) {
      if (!(error instanceof BpfUnavailable)) throw error;
      throw new NetlinkRefused(`${reason}${error.message}`);
    }
  }

  /** Tells where the events come from. */
  get source(): 'process connector' | 'samples of tracepoints' {
    return this.#events.reportsUsers ? 'process connector' : 'samples of tracepoints';
  }

  /** Reads the events that wait, and forgets processes that ended long ago. */
  poll(): void {
    const executions = [...this.#early, ...(this.#executions?.read() ?? [])];
    this.#read(MAX_EVENTS_POLLED);
    const sinceNs = monotonicNs() - EVENT_DELAY_NS;
    this.#early = executions.filter(
      ({ pid, timeNs, path }) => !this.table.addPath(pid, timeNs, path) && timeNs > sinceNs,
    );
    this.table.expire(monotonicNs());
  }

  #readProcess(procRoot: string, pid: number): ProcessReading | null {
    const reading = readProcess(procRoot, pid);
    if (reading?.netns != null) this.onNamespace?.(reading.netns, pid);
    return reading;
  }

  #read(maxEvents: number): void {
    if (!this.#events.read((event) => this.table.handle(event), maxEvents)) this.table.lostEvents();
  }

  counters(): Counters {
    return { ...this.table.counters(), executions_missed: this.#executions?.lost ?? 0 };
  }

  close(): void {
    this.#executions?.close();
    this.#events.close();
  }
}

/** @throws NetlinkRefused when the kernel delivers no events to us. */
function openConnector(onEvents: () => void): ProcessEvents {
  const socket = ProcessEventSocket.open();
  const stopWaiting = whenReadable(socket.descriptor, onEvents);
  return {
    reportsUsers: true,
    reportsPaths: false,
    read: (handler, maxEvents) => socket.read(handler, maxEvents),
    close() {
      stopWaiting();
      socket.close();
    },
  };
}

function openExecutions(onFilling: () => void): ExecutionSamples | null {
  try {
    return ExecutionSamples.open(onFilling);
  } catch (error) {
    if (error instanceof BpfUnavailable) return null;
    throw error;
  }
}

/** Reads a living process, the most fleeting facts first; null if it has ended. */
export function readProcess(procRoot: string, pid: number): ProcessReading | null {
  const held = HeldProcess.hold(procRoot, pid);
  if (held === null) return null;
  const executable = held.executable();
  const args = held.args();
  const workingDirectory = held.workingDirectory();
  const paths = cgroupPaths(held.cgroups() ?? '').filter((path) => path !== '/');
  const netns = held.networkNamespace();
  const uid = held.effectiveUid();
  const stat = held.stat();
  held.close();
  // A process that has ended, and waits for its parent, has lost what was to be read.
  if (stat === null || (executable === null && args === null && !stat.kernelThread)) return null;
  const kept = args && withinBound(args);
  return {
    ...{ startTicks: stat.startTicks, name: stat.name, parentPid: stat.parentPid },
    ...{ executable, workingDirectory, uid, netns, image: stat.image },
    args: kept,
    argsTruncated: kept !== null && kept.length < args!.length,
    cgroupPaths: paths.length > 0 ? paths : null,
  };
}

/** Returns the first arguments that fit into the bound, and at least one of them. */
function withinBound(args: string[]): string[] {
  let left = MAX_ARGUMENT_CHARACTERS;
  const beyond = args.findIndex((arg) => {
    left -= arg.length;
    return left < 0;
  });
  return beyond < 0 ? args : args.slice(0, Math.max(1, beyond));
}
