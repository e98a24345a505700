/** Reads a file that a command is given with `--from-file`. */
import { readFileSync } from 'node:fs';
import { OperatorError } from '../common/operator_error.ts';

/** Returns the text of a file, or of stdin for `-`. Throws `OperatorError` (2). */
export function readGivenFile(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new OperatorError(
      2,
      `--from-file ${file} cannot be read: ${(error as Error).message}. Check the name and the permissions.`,
    );
  }
}
