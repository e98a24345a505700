/**
 * Creates the logger. It writes JSON lines to stderr, for the journal and for log collectors; stdout is for
 * the output of a command. Command arguments, tokens and answers are never logged. As a second protection,
 * fields that may contain a secret are removed here by their path.
 */
import { type Logger, pino } from 'pino';
import { priorityPrefix, stderrIsJournal } from '../systemd_notify/journal.ts';
import { escapedJson } from './terminal/visible_text.ts';

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

export function createLogger(level: LogLevel, name: string): Logger {
  return pino(
    {
      name,
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: [
          'token',
          'agent_token',
          '*.agent_token',
          'authorization',
          '*.authorization',
          'headers',
          '*.headers',
          'command_args',
          '*.command_args',
          'process.ancestors',
        ],
        censor: '****',
      },
    },
    destination(pino.destination({ dest: 2, sync: true })),
  );
}

/** Escapes control characters: lines contain text from outside, and people read them on a terminal. */
export function destination(stderr: { write(line: string): unknown }): { write(line: string): void } {
  if (!stderrIsJournal(process.env)) return { write: (line) => void stderr.write(escapedJson(line)) };
  const prefixing = {
    // With this symbol pino sets `lastLevel` to the level of each line before it writes the line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write: (line: string) => void stderr.write(priorityPrefix(prefixing.lastLevel) + escapedJson(line)),
  };
  return prefixing;
}
