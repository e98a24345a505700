/**
 * Finds the executable of a program that has ended, by the path that execve(2) got: follows symbolic links and the first
 * line of a script, in the file system of this process. In another mount namespace the same path may be another file, so
 * the result is a conclusion.
 */
import { closeSync, openSync, readSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';

/** The kernel reads no more of a script's first line (BINPRM_BUF_SIZE, include/uapi/linux/binfmts.h). */
const FIRST_LINE_BYTES = 256;
/** The kernel follows no more scripts of scripts (fs/exec.c, exec_binprm). */
const MAX_SCRIPTS = 5;

/** TASK_COMM_LEN without the NUL. */
const MAX_NAME = 15;

/** Returns the name of a program that was started by a path (fs/exec.c, begin_new_exec: the last part of the path). */
export function nameOf(path: string): string {
  return basename(path).slice(0, MAX_NAME);
}

/** Returns the path that /proc/PID/exe would have shown; null for a relative path, or if the file cannot be read. */
export function executableOf(path: string): string | null {
  let next = path;
  for (let scripts = 0; scripts <= MAX_SCRIPTS; scripts++) {
    if (!next.startsWith('/')) return null;
    try {
      const file = realpathSync(next);
      const interpreter = interpreterOf(firstBytes(file));
      if (interpreter === null) return file;
      next = interpreter;
    } catch {
      return null;
    }
  }
  return null;
}

/** Returns the interpreter of a script by its first bytes; null if it is none. See fs/binfmt_script.c. */
export function interpreterOf(bytes: string): string | null {
  return /^#![ \t]*([^ \t\n\0]+)/.exec(bytes)?.[1] ?? null;
}

function firstBytes(file: string): string {
  const bytes = Buffer.alloc(FIRST_LINE_BYTES);
  const descriptor = openSync(file, 'r');
  try {
    return bytes.toString('latin1', 0, readSync(descriptor, bytes, 0, FIRST_LINE_BYTES, 0));
  } finally {
    closeSync(descriptor);
  }
}
