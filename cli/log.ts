/**
 * The one logger. Its lines are JSON on stderr (stdout belongs to a command's own output), for the journal and for
 * log collectors. Command arguments, tokens and answers are never given to it; what might carry a secret by mistake
 * is removed by path here, in one place.
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

/** Texts from the field are in these lines too, and whoever reads them has a terminal. */
export function destination(stderr: { write(line: string): unknown }): { write(line: string): void } {
  if (!stderrIsJournal(process.env)) return { write: (line) => void stderr.write(escapedJson(line)) };
  const prefixing = {
    // Asks pino to say each line's level in `lastLevel` before it writes the line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write: (line: string) => void stderr.write(priorityPrefix(prefixing.lastLevel) + escapedJson(line)),
  };
  return prefixing;
}
