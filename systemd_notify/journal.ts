/** Adds priorities to lines on stderr when the journal reads them (sd-daemon(3)). */
import { fstatSync } from 'node:fs';

/** Priorities of syslog(3), which the journal uses. */
const CRITICAL = 2;
const ERROR = 3;
const WARNING = 4;
const INFORMATIONAL = 6;
const DEBUG = 7;

/**
 * Tells whether the journal reads stderr. JOURNAL_STREAM (systemd.exec(5)) names the stream of the journal by
 * device and inode; descriptor 2 is compared with it, because it may have been redirected since.
 */
export function stderrIsJournal(env: NodeJS.ProcessEnv): boolean {
  const stream = env['JOURNAL_STREAM'];
  if (stream === undefined) return false;
  const { dev, ino } = fstatSync(2, { bigint: true });
  return stream === `${dev}:${ino}`;
}

/** Returns the prefix of a line for a level of pino (10 is trace, 60 is fatal). */
export function priorityPrefix(level: number): string {
  if (level >= 60) return `<${CRITICAL}>`;
  if (level >= 50) return `<${ERROR}>`;
  if (level >= 40) return `<${WARNING}>`;
  if (level >= 30) return `<${INFORMATIONAL}>`;
  return `<${DEBUG}>`;
}

/** Puts the prefix before every line of a text: the journal stores each line as a separate entry. */
export function withPriority(text: string, prefix: string): string {
  return text.replace(/^(?=.)/gm, prefix);
}

export const ERROR_PREFIX = `<${ERROR}>`;
export const NOTICE_PREFIX = '<5>';
