/** How a command's end becomes the process's: its exit code, and what an operator is told. */
import { OperatorError } from '../protocol/operator_error.ts';
import { HelpRequested } from './help_requested.ts';

export async function exitWith(run: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await run();
  } catch (error) {
    if (error instanceof HelpRequested) {
      process.stdout.write(error.message);
    } else if (error instanceof OperatorError) {
      process.stderr.write(`imdswatch: ${error.message}\n`);
      process.exitCode = error.exitCode;
    } else {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      process.stderr.write(`imdswatch: ${text}\n`);
      process.exitCode = 1;
    }
  }
}
