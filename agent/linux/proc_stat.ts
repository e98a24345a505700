/** Parses the files of one process in /proc. Format: fs/proc/array.c (do_task_stat), proc(5). */

/** include/linux/sched.h. */
const PF_KTHREAD = 0x00200000;

export interface ProcStat {
  pid: number;
  name: string;
  /** One letter; `Z` and `X` have lost their memory and descriptors. */
  state: string;
  parentPid: number;
  /** Clock ticks (1/100 s) since boot. */
  startTicks: number;
  kernelThread: boolean;
  /**
   * Addresses of the program's code, stack and arguments. With address randomisation each exec() changes
   * them, so they reveal an exec() that kept pid, start time, name and executable. Null where the permission
   * for them is missing (the kernel then shows 0 or 1).
   */
  image: string | null;
}

/**
 * Parses /proc/PID/stat. The name is anything up to 15 bytes, spaces and parentheses included, so it ends at
 * the last `)`. Returns null for other text.
 */
export function parseStat(bytes: Buffer): ProcStat | null {
  const open = bytes.indexOf(0x28);
  const shut = bytes.lastIndexOf(0x29);
  if (open < 1 || shut < open) return null;
  const pid = Number(bytes.toString('latin1', 0, open));
  // fields[0] is field 3 of proc(5), the state.
  const fields = bytes
    .toString('latin1', shut + 2, bytes.length)
    .trimEnd()
    .split(' ');
  const parentPid = Number(fields[1]);
  const startTicks = Number(fields[19]);
  const valid = [pid, parentPid, startTicks].every((value) => Number.isInteger(value) && value >= 0);
  if (!valid || fields.length < 20 || pid < 1) return null;
  const argumentsStart = fields[45];
  return {
    pid,
    name: bytes.toString('utf8', open + 1, shut),
    state: fields[0]!,
    parentPid,
    startTicks,
    kernelThread: (Number(fields[6]) & PF_KTHREAD) !== 0,
    image:
      argumentsStart === undefined || argumentsStart === '0'
        ? null
        : `${fields[23]}/${fields[25]}/${argumentsStart}/${fields[46]}`,
  };
}

/**
 * Parses /proc/PID/cmdline: arguments ended by NUL; a program that has overwritten them (a process title) may
 * leave spaces instead and NULs at the end. Returns null when empty: a kernel thread, or a process that has
 * ended.
 */
export function parseCommandLine(bytes: Buffer): string[] | null {
  let end = bytes.length;
  if (end === 0) return null;
  if (bytes[end - 1] === 0) end--;
  // An empty last argument is legal (`printf ''`), a tail of NULs is a title's left-over: more than a few of
  // them is.
  if (end > 2 && bytes[end - 1] === 0 && bytes[end - 2] === 0) {
    while (end > 0 && bytes[end - 1] === 0) end--;
  }
  return bytes.toString('utf8', 0, end).split('\0');
}

/** Returns a /proc link's target without ` (deleted)`, by which the kernel marks a removed file. */
export function parsePathLink(bytes: Buffer): string {
  const path = bytes.toString('utf8', 0, bytes.length);
  return path.endsWith(' (deleted)') ? path.slice(0, -' (deleted)'.length) : path;
}
