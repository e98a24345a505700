/** Tests that a file is replaced as a whole, and that a failure leaves nothing behind. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { writeFileAtomically } from '../../../common/atomic_file.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-atomic-'));
after(() => rmSync(directory, { recursive: true }));

describe('a file that is written atomically', () => {
  it('is private by default, or has the given mode', () => {
    writeFileAtomically(directory, 'private', 'a');
    writeFileAtomically(directory, 'private', 'b', { isDurable: false });
    writeFileAtomically(directory, 'readable', 'c', { mode: 0o644 });
    assert.equal(readFileSync(join(directory, 'private'), 'utf8'), 'b');
    assert.equal(statSync(join(directory, 'private')).mode & 0o777, 0o600);
    assert.equal(statSync(join(directory, 'readable')).mode & 0o777, 0o644 & ~process.umask());
  });

  it('replaces a symbolic link, and does not follow one that stands at its draft', () => {
    const target = join(directory, 'target');
    writeFileAtomically(directory, 'target', 'untouched');
    symlinkSync(target, join(directory, 'link'));
    symlinkSync(target, join(directory, 'link.new'));
    writeFileAtomically(directory, 'link', 'new');
    assert.equal(readFileSync(target, 'utf8'), 'untouched');
    assert.equal(readFileSync(join(directory, 'link'), 'utf8'), 'new');
  });

  it('leaves no draft where it fails', () => {
    mkdirSync(join(directory, 'taken', 'full'), { recursive: true });
    const before = readdirSync(directory);
    assert.throws(() => writeFileAtomically(directory, 'taken', 'x'), /EISDIR|ENOTEMPTY|EEXIST/);
    assert.deepEqual(readdirSync(directory), before);
  });
});
