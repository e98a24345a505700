/** Links of the documents: to files that are there, and to headings that are in them. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { documents, readmes } from '../../support/docs/documents.ts';

const all = [...documents(), ...readmes()];

for (const { name, path, text } of all) {
  test(`links of ${name}`, () => {
    const prose = text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '');
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) continue;
      const [file = '', anchor] = target!.split('#');
      const to = file === '' ? path : normalize(join(dirname(path), file));
      assert.ok(existsSync(to), `${target}: there is no such file`);
      if (anchor === undefined) continue;
      const known = anchorsOf(readFileSync(to, 'utf8'));
      assert.ok(known.has(anchor), `${target}: there is no such heading; there are ${[...known].join(', ')}`);
    }
  });
}

test('a link to a heading that is not there is found', () => {
  assert.deepEqual(
    [...anchorsOf('# How it *works*\n```\n# no\n```\n## `a_b` (c): d\n## How it works\n')],
    ['how-it-works', 'a_b-c-d', 'how-it-works-1'],
  );
});

/** Anchors as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const found = new Set<string>();
  for (const [, heading] of text.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .trim()
      .replaceAll(' ', '-');
    let anchor = plain;
    for (let again = 1; found.has(anchor); again++) anchor = `${plain}-${again}`;
    found.add(anchor);
  }
  return found;
}
