/** Turns the result or the error of a command into the exit code and a message on stderr. */
import { OperatorError } from '../common/operator_error.ts';
import { ERROR_PREFIX, stderrIsJournal, withPriority } from '../systemd_notify/journal.ts';
import { HelpRequested } from './settings/help_requested.ts';
import { visibleLines } from './terminal/visible_text.ts';

export async function exitWith(run: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await run();
  } catch (error) {
    if (error instanceof HelpRequested) {
      process.stdout.write(error.message);
    } else if (error instanceof OperatorError) {
      printError(error.message);
      process.exitCode = error.exitCode;
    } else {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      printError(text);
      process.exitCode = 1;
    }
  }
}

function printError(text: string): void {
  const line = `imdswatch: ${visibleLines(text)}\n`;
  process.stderr.write(stderrIsJournal(process.env) ? withPriority(line, ERROR_PREFIX) : line);
}
