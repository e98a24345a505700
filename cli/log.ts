/**
 * The one logger. Its lines are JSON on stderr (stdout belongs to a command's own output), for the journal and for
 * log collectors. Command arguments, tokens and answers are never given to it; what might carry a secret by mistake
 * is removed by path here, in one place.
 */
import { type Logger, pino } from 'pino';

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
    pino.destination({ dest: 2, sync: true }),
  );
}
