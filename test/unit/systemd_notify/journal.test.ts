import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { withPriority } from '../../../systemd_notify/journal.ts';

const LOG = new URL('../../../cli/log.ts', import.meta.url).href;
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');

/** Returns what a process writes to a stderr that is, or is not, the one that JOURNAL_STREAM names. */
function stderrOf(argv: string[], isJournal: boolean): string {
  const directory = mkdtempSync(join(tmpdir(), 'journal-'));
  const file = join(directory, 'stderr');
  const fd = openSync(file, 'w');
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    const stream = isJournal ? `${dev}:${ino}` : `${dev}:${ino + 1n}`;
    spawnSync(process.execPath, argv, {
      stdio: ['ignore', 'ignore', fd],
      env: { ...process.env, JOURNAL_STREAM: stream },
    });
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
}

const script = `
  const { createLogger } = await import('${LOG}');
  const log = createLogger('trace', 'test');
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace']) log[level]({ token: 'x' }, level);
  log.child({ part: 1 }).warn('child');`;
const argv = ['--input-type=module', '-e', script];

describe('the journal', () => {
  it('reads the priority before each line, and JSON after it', () => {
    const lines = stderrOf(argv, true).trimEnd().split('\n');
    const prefixes = lines.map((line) => line.slice(0, 3));
    assert.deepEqual(prefixes, ['<2>', '<3>', '<4>', '<6>', '<7>', '<7>', '<4>']);
    const entries = lines.map((line) => JSON.parse(line.slice(3)));
    assert.deepEqual(entries[0].msg, 'fatal');
    assert.equal(entries[0].token, '****');
  });

  it('is not confused with the target of a redirected stderr', () => {
    for (const line of stderrOf(argv, false).trimEnd().split('\n')) assert.ok(JSON.parse(line).msg);
  });

  it('takes what an operator must read for an error', () => {
    const bad = [MAIN, 'agent', '--spool-max-bytes', '1', '--rollup-seconds', '0'];
    const lines = stderrOf(bad, true).trimEnd().split('\n');
    assert.equal(lines.length, 2);
    for (const line of lines) assert.match(line, /^<3>(imdswatch: )?--/);
    assert.match(stderrOf(bad, false), /^imdswatch: --/);
  });

  it('has nothing before an empty line', () => {
    assert.equal(withPriority('a\n\nb\n', '<3>'), '<3>a\n\n<3>b\n');
  });
});
