/** Shows and writes the files that `imdswatch scan --fix` changes. */
import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createTwoFilesPatch } from 'diff';
import { OperatorError } from '../common/operator_error.ts';
import type { FixedTree } from '../scan/fix_tree.ts';

/** Returns the changes as one unified diff, which `git apply` takes. */
export function unifiedDiff({ changes }: FixedTree): string {
  return [...changes]
    .map(([path, { before, after }]) =>
      createTwoFilesPatch(`a/${path}`, `b/${path}`, before.text, after.text, undefined, undefined, {
        context: 3,
      }),
    )
    .join('')
    .replaceAll(/^=+\n/gm, '');
}

/**
 * Writes the changed files. They keep their owner, mode and links, as with other formatters of code. Throws `OperatorError` for a file that has changed since it was
 * read or cannot be written; files before it are written.
 */
export function writeChanges({ changes }: FixedTree, working: string): void {
  for (const [path, { before, after }] of changes) {
    try {
      const target = resolve(working, path);
      if (!Buffer.from(before.bytes).equals(readFileSync(target)))
        throw new Error('it has changed while it was scanned');
      writeFileSync(target, after.bytes);
    } catch (error) {
      throw new OperatorError(
        1,
        `${path} is not fixed: ${(error as Error).message}. Correct that and run the command again.`,
      );
    }
  }
}
