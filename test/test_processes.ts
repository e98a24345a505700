/**
 * The processes of a run of tests. node:test limits the time of a test, and waits for ever for a file whose process does
 * not end. So the files that take too long are ended here, and so is what a test left running.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Unit of the start times in /proc/PID/stat (proc(5), field 22; USER_HZ is 100 on Linux). */
const TICKS_PER_SECOND = 100;
const START_FIELD = 22;
const PARENT_FIELD = 4;
/** The parent of a process whose own parent has ended. */
const INIT = 1;

interface ProcessEntry {
  pid: number;
  parent: number;
  ageSeconds: number;
}

export interface TestFileProcess {
  pid: number;
  file: string;
  ageSeconds: number;
}

/** Returns the processes in which node:test runs files for this process. */
export function testFileProcesses(): TestFileProcess[] {
  return entries()
    .filter(({ parent }) => parent === process.pid)
    .flatMap(({ pid, ageSeconds }) => {
      const file = argumentsOf(pid).find((argument) => /\.test\.m?[jt]s$/.test(argument));
      return file === undefined ? [] : [{ pid, file, ageSeconds }];
    });
}

/** Ends a process and everything that descends from it. */
export function endTree(pid: number): void {
  const all = entries();
  const tree = [pid];
  for (const each of tree)
    tree.push(...all.filter(({ parent }) => parent === each).map((child) => child.pid));
  for (const each of tree) kill(each);
}

/**
 * Ends the processes that have a variable with this value in their environment, and returns what they were. With
 * `orphansOlderThanSeconds` only those whose parent has ended, and that are older: node:test waits for a file as long as
 * such a process holds its output open.
 */
export function endMarked(variable: string, value: string, orphansOlderThanSeconds?: number): string[] {
  const mark = `${variable}=${value}`;
  const isMeant = ({ pid, parent, ageSeconds }: ProcessEntry) =>
    pid !== process.pid &&
    (orphansOlderThanSeconds === undefined || (parent === INIT && ageSeconds > orphansOlderThanSeconds)) &&
    environmentOf(pid).includes(mark);
  return entries()
    .filter(isMeant)
    .map(({ pid }) => {
      const command = argumentsOf(pid).join(' ');
      kill(pid);
      return `${pid} ${command}`;
    });
}

function entries(): ProcessEntry[] {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const text = read(`/proc/${name}/stat`);
      // The name of the command, in brackets, may hold spaces and brackets.
      const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
      const field = (number: number) => Number(fields[number - 3]);
      if (text === '' || isEnded(name)) return [];
      const ageSeconds = uptime - field(START_FIELD) / TICKS_PER_SECOND;
      return [{ pid: Number(name), parent: field(PARENT_FIELD), ageSeconds }];
    });
}

/** A process that has ended and waits for its parent has no program any more. */
function isEnded(pid: string): boolean {
  try {
    readlinkSync(`/proc/${pid}/exe`);
    return false;
  } catch {
    return true;
  }
}

function argumentsOf(pid: number): string[] {
  return read(`/proc/${pid}/cmdline`).split('\0').filter(Boolean);
}

function environmentOf(pid: number): string[] {
  return read(`/proc/${pid}/environ`).split('\0');
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // The process has ended meanwhile, or belongs to the kernel.
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended by itself.
  }
}
