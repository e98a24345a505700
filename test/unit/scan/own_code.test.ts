/** This project's own deployment files and the examples in its documents are clean. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { findCalls } from '../../../scan/callers/callers.ts';
import { scan } from '../../../scan/scan.ts';
import { blocksOf, documents, readmes } from '../../support/docs/documents.ts';

const ROOT = join(import.meta.dirname, '../../..');

describe('our own code', () => {
  test('allows and makes no IMDSv1 calls where it is installed from', async () => {
    const { findings, problems, counts } = await scan({
      paths: ['docker', 'packaging', 'systemd', 'setup', 'bin'].map((path) => join(ROOT, path)),
      working: ROOT,
      options: { variables: new Map(), variableFiles: [], today: '2026-01-01' },
    });
    assert.deepEqual(
      findings
        .filter(({ level }) => level !== 'note')
        .map(({ path, rule, range }) => `${path}:${range.start.line} ${rule}`),
      [],
    );
    assert.deepEqual(problems, []);
    // The launch template of the example answers IMDSv1 for a reason that it gives.
    assert.equal(counts.suppressed, 1);
  });

  test('in examples of the documents makes no IMDSv1 calls, except where they show one', () => {
    const calls = [...documents(), ...readmes()]
      .flatMap(blocksOf)
      .filter(({ language }) => language === 'sh' || language === 'yaml')
      .filter(({ text, language }) => findCalls(text, language === 'sh' ? 'shell' : 'yaml').length > 0)
      .map(({ document }) => document);
    assert.deepEqual([...new Set(calls)], ['scan.md']);
  });
});
