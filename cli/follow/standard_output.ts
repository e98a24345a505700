/** Writes lines to stdout, and says when its reader or the disk has them. */
import { fdatasyncSync } from 'node:fs';
import { OperatorError } from '../../common/operator_error.ts';

const STDOUT = 1;

export class StandardOutput {
  constructor() {
    // The callback of each write has the error as well.
    process.stdout.on('error', () => {});
  }

  /** Resolves when the pipe or the file has the lines. Rejects with `OperatorError` (1). */
  write(lines: readonly string[]): Promise<void> {
    return new Promise((resolve, reject) => {
      process.stdout.write(lines.join(''), (error) => {
        const problem = error ?? syncProblem();
        if (problem === null) resolve();
        else {
          reject(
            new OperatorError(
              1,
              `stdout cannot be written: ${problem.message}. Check the disk or the program that reads the output, and run the command again: it goes on after the last lines that were written.`,
              { cause: problem },
            ),
          );
        }
      });
    });
  }

  /** Gives up what its reader has not read. */
  close(): void {
    if (process.stdout.writableLength > 0) process.stdout.destroy();
  }
}

/** Returns why a file does not have what was written; null where it has, or where stdout is no file. */
function syncProblem(): Error | null {
  try {
    fdatasyncSync(STDOUT);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'EINVAL' || code === 'EROFS' ? null : (error as Error);
  }
}
