/** The file that says after which call a follower goes on. */
import { readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import * as z from 'zod';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import { OperatorError } from '../../common/operator_error.ts';

const content = z.object({
  /** Origin of the collector that the position belongs to. */
  collector: z.string(),
  cursor: z.string(),
  /** When it was stored, RFC 3339: calls that the collector stored before are behind it. */
  time: z.iso.datetime(),
});
export type CursorContent = z.infer<typeof content>;

/** Returns null where there is no file. Throws `OperatorError`. */
export function readCursorFile(path: string, collector: string): CursorContent | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new OperatorError(2, `--cursor-file ${path} cannot be read: ${(error as Error).message}.`);
  }
  const found = parsed(text);
  if (found === null) {
    throw new OperatorError(
      2,
      `--cursor-file ${path} is not a file that this command has written. Name another one, or delete it and run the command with --since TIME.`,
    );
  }
  if (found.collector !== collector) {
    throw new OperatorError(
      2,
      `--cursor-file ${path} is about the collector ${found.collector}, not ${collector}. Name another file for each collector.`,
    );
  }
  return found;
}

function parsed(text: string): CursorContent | null {
  try {
    return content.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** It is durable when it returns. Throws `OperatorError` (1). */
export function writeCursorFile(path: string, cursor: CursorContent): void {
  try {
    writeFileAtomically(dirname(path), basename(path), `${JSON.stringify(cursor)}\n`);
  } catch (error) {
    throw new OperatorError(
      1,
      `--cursor-file ${path} cannot be written: ${(error as Error).message}. Mend it and run the command again: the calls that were printed since are printed again with the same ids.`,
      { cause: error },
    );
  }
}
