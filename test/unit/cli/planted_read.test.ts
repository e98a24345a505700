/**
 * Secrets planted in requests of a capture file: `imdswatch read` prints a marker of each request and no
 * secret.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { SecretFinder } from '../../support/agent/identity/secret_finder.ts';
import { PLANTED_ANSWER, plantedCapture } from '../../support/lab/planted_capture.ts';
import { plantedRequests } from '../../support/lab/planted_secrets.ts';

const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
describe('planted secrets in a capture file', () => {
  const planted = [...plantedRequests(), ...plantedRequests('live')];
  let directory: string;
  let file: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-planted-'));
    file = join(directory, 'planted.pcap');
    writeFileSync(file, plantedCapture(planted));
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  for (const options of [['--json'], []]) {
    it(`are not printed by read ${options.join(' ')}`, async () => {
      const argv = [MAIN, 'read', ...options, file];
      const { stdout, stderr } = await promisify(execFile)(process.execPath, argv, {
        maxBuffer: 64 * 1024 * 1024,
      });
      // A line for people has no user agent.
      const shown = options.length > 0 ? planted : planted.filter(({ place }) => !/user agent/.test(place));
      assert.deepEqual(
        shown.filter(({ marker }) => !stdout.includes(marker)).map(({ place }) => place),
        [],
        stderr,
      );
      assert.deepEqual([...new SecretFinder([...planted, PLANTED_ANSWER]).placesIn(stdout + stderr)], []);
    });
  }
});
