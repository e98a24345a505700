/** Tests that no name of the code stands on the page, as after a rename that also reached a label. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const SOURCES = join(import.meta.dirname, '../../../web/src');
/** Matches labels of facts and columns, and titles. */
const LABEL = /\[\s*'([^']+)',|\b(?:label|title|caption): '([^']+)'|\b(?:label|title|caption)="([^"]+)"/g;

test('labels are words, and no names of the code', () => {
  const labels = globSync('**/*.tsx', { cwd: SOURCES }).flatMap((file) =>
    [...readFileSync(join(SOURCES, file), 'utf8').matchAll(LABEL)].map(
      (match) => match[1] ?? match[2] ?? match[3]!,
    ),
  );
  assert.ok(labels.length > 50, `${labels.length} labels`);
  assert.deepEqual(
    labels.filter((label) => /^[A-Z][a-z]+[A-Z][a-z]\w*$/.test(label)),
    [],
  );
});
