/** The first thing that a newcomer runs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { it } from 'node:test';
import { promisify } from 'node:util';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const LAUNCHER = join(import.meta.dirname, '../../bin/imdswatch');

it('imdswatch demo --once: runs through, and its table is what the lab did', { skip }, async () => {
  // It holds its own table against the metadata service's log, and fails where they differ.
  const { stdout } = await promisify(execFile)(LAUNCHER, ['demo', '--once'], { timeout: 120_000 });
  assert.match(stdout, /got credentials over IMDSv1/);
  assert.match(stdout, /The rows match the log of the metadata service/);
});
