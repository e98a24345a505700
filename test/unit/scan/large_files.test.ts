/** Files above the bound: text is listed as not scanned, binary files are nobody's. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { LIMITS } from '../../../scan/limits.ts';
import { scan } from '../../../scan/scan.ts';

test('a large text is listed, a large binary file is not', async () => {
  const working = mkdtempSync(join(tmpdir(), 'imdswatch-large-'));
  try {
    writeFileSync(join(working, 'large.sh'), 'curl http://169.254.169.254/latest/\n');
    writeFileSync(join(working, 'program'), Buffer.alloc(100));
    const { findings, problems } = await scan({
      paths: [working],
      working,
      options: { variables: new Map(), variableFiles: [], today: '2026-01-01' },
      limits: { ...LIMITS, fileBytes: 20 },
    });
    assert.deepEqual(findings, []);
    assert.deepEqual(
      problems.map(({ path, message }) => [path, message]),
      [['large.sh', 'The file has 36 bytes. Files above 20 bytes are not scanned.']],
    );
  } finally {
    rmSync(working, { recursive: true, force: true });
  }
});
