/** Holds the watch process small: it validates nothing, so it loads no schema. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';

test('the watch loads no schema library', () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
  try {
    const module = pathToFileURL(join(import.meta.dirname, '../../../agent/live_watch.ts')).href;
    execFileSync(process.execPath, ['--input-type=module', '-e', `await import('${module}')`], {
      env: { ...process.env, NODE_V8_COVERAGE: directory },
      stdio: 'ignore',
    });
    const loaded = readdirSync(directory).flatMap((file) => {
      const { result } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as {
        result: { url: string }[];
      };
      return result.map(({ url }) => url);
    });
    assert.ok(loaded.some((url) => url.endsWith('/agent/live_watch.ts')));
    assert.deepEqual(
      loaded.filter((url) => url.includes('/node_modules/zod/')),
      [],
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
