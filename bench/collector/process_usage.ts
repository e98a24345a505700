/** Reads from /proc what a process has used. */
import { readdirSync, readFileSync } from 'node:fs';

/** Processor time in seconds since the start, and present memory, of all threads together. */
export interface Usage {
  cpuSeconds: number;
  /** Processor time of the thread that serves agents, and of all others: store, garbage collection, I/O. */
  mainThreadSeconds: number;
  otherThreadsSeconds: number;
  residentBytes: number;
}

export function processUsage(pid: number): Usage {
  let all = 0;
  let main = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const seconds = processorSeconds(`/proc/${pid}/task/${thread}`);
    all += seconds;
    if (Number(thread) === pid) main = seconds;
  }
  return {
    cpuSeconds: all,
    mainThreadSeconds: main,
    otherThreadsSeconds: all - main,
    residentBytes: kilobytes(`/proc/${pid}/status`, 'VmRSS'),
  };
}

/**
 * Returns the same of a process and its children. Memory that several of them share, such as that of PostgreSQL's
 * buffers, counts once. Those that have ended do not count.
 */
export function familyUsage(parent: number): { cpuSeconds: number; residentBytes: number } {
  const children = readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').split(' ');
  let cpuSeconds = 0;
  let residentBytes = 0;
  for (const pid of [String(parent), ...children].filter((each) => each !== '')) {
    try {
      cpuSeconds += processorSeconds(`/proc/${pid}`);
      residentBytes += kilobytes(`/proc/${pid}/smaps_rollup`, 'Pss');
    } catch {
      // It has ended meanwhile.
    }
  }
  return { cpuSeconds, residentBytes };
}

/** The first field of schedstat is nanoseconds on a processor. */
function processorSeconds(directory: string): number {
  return Number(readFileSync(`${directory}/schedstat`, 'latin1').split(' ')[0]) / 1e9;
}

/** Returns a line `NAME: … kB` of a file in bytes. */
function kilobytes(file: string, name: string): number {
  const found = new RegExp(`^${name}:\\s*(\\d+) kB$`, 'm').exec(readFileSync(file, 'latin1'));
  return Number(found?.[1]) * 1024;
}
