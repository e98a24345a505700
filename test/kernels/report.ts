/** The report of a kernel, and its form for people. */

/** A load in which every call was made by a process of its own. */
export interface KernelLoad {
  what: string;
  calls: number;
  /** Calls with the right pid; of them those with the right executable, arguments and user. */
  pid: number;
  executable: number;
  args: number;
  uid: number;
  /** Calls with the right pid of which the confidence is `exact`. */
  exact: number;
  /** Calls with another process or another executable. */
  wrong: number;
}

export interface KernelReport {
  kernel: string;
  /** Null if the tracepoint program could be loaded. */
  error: string | null;
  /** `loaded`, or why the program that needs type information could not be loaded. */
  first: string;
  /** `reported`: it named the process to which a connection was handed; `not reported`; or what was wrong. */
  handed: string;
  loads: KernelLoad[];
  counters: Record<string, number>;
}

/** Returns the report in the serial console's output of a guest; null without one. */
export function reportIn(console: string): KernelReport | null {
  const text = /REPORT (\{.*\}) END/.exec(console)?.[1];
  return text === undefined ? null : JSON.parse(text);
}

/** Returns what falls short of exact attribution; empty if nothing does. */
export function shortfalls(report: KernelReport): string[] {
  if (report.error !== null) return [report.error];
  const short = report.loads.flatMap((load) => {
    const { what, calls, pid, executable, uid, wrong } = load;
    return pid === calls && executable === calls && uid === calls && wrong === 0 && calls > 0
      ? []
      : [`${what}: ${JSON.stringify(load)}`];
  });
  if (report.handed !== 'reported' && report.handed !== 'not reported')
    short.push(`a connection that was handed on: ${report.handed}`);
  const lost = report.counters['owners_lost'] ?? 0;
  return lost === 0 ? short : [...short, `${lost} reports of the kernel were lost`];
}

export function textOf({ kernel, first, handed, loads, counters }: KernelReport): string {
  const lines = loads.map(
    ({ what, calls, pid, executable, args, uid, exact, wrong }) =>
      `  ${what}: ${calls} calls; right pid ${pid}, executable ${executable}, user ${uid}, arguments ${args}; exact ${exact}; wrong ${wrong}`,
  );
  const { owners_lost, incomplete_readings, process_overruns, processes_read, processes_unread } = counters;
  return [
    `Linux ${kernel}; the program with type information: ${first}; who sends on a connection: ${handed}`,
    ...lines,
    `  owners lost ${owners_lost}, readings with a gap ${incomplete_readings}, overruns of process events ${process_overruns}; programs read ${processes_read}, ended before ${processes_unread}`,
  ].join('\n');
}
