/** Standard error where the journal reads it: lines carry their priority (sd-daemon(3)). */
import { fstatSync } from 'node:fs';

/** syslog(3)'s numbers, as the journal knows them. */
const CRITICAL = 2;
const ERROR = 3;
const WARNING = 4;
const INFORMATIONAL = 6;
const DEBUG = 7;

/**
 * Tells whether descriptor 2 is the journal's: systemd says which stream it gave us, DEVICE:INODE (systemd.exec(5),
 * JOURNAL_STREAM), and it may have been redirected since.
 */
export function stderrIsJournal(env: NodeJS.ProcessEnv): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** Returns what a line begins with, from pino's level of it (10 trace … 60 fatal). */
export function priorityPrefix(level: number): string {
  if (level >= 60) return `<${CRITICAL}>`;
  if (level >= 50) return `<${ERROR}>`;
  if (level >= 40) return `<${WARNING}>`;
  if (level >= 30) return `<${INFORMATIONAL}>`;
  return `<${DEBUG}>`;
}

/** Every line of a text for people with one priority: the journal takes each line for an entry of its own. */
export function withPriority(text: string, prefix: string): string {
  return text.replace(/^(?=.)/gm, prefix);
}

export const ERROR_PREFIX = `<${ERROR}>`;
export const NOTICE_PREFIX = '<5>';
