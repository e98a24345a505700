/**
 * The one logger. Its lines are JSON on stderr (stdout belongs to a command's own output), for the journal and for
 * log collectors. Command arguments, tokens and answers are never given to it; what might carry a secret by mistake
 * is removed by path here, in one place.
 */
import { type Logger, pino } from 'pino';
import { priorityPrefix, stderrIsJournal } from '../service/journal.ts';

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
    destination(),
  );
}

function destination(): { write(line: string): void } {
  const stderr = pino.destination({ dest: 2, sync: true });
  if (!stderrIsJournal(process.env)) return stderr;
  const prefixing = {
    // Asks pino to say each line's level in `lastLevel` before it writes the line.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 0,
    write: (line: string) => stderr.write(priorityPrefix(prefixing.lastLevel) + line),
  };
  return prefixing;
}
