/** Tests `imdswatch scan --fix` and `--diff` on files. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';

const MAIN = join(import.meta.dirname, '../../../../cli/main.ts');
const BEFORE =
  'resource "aws_instance" "x" {\r\n  metadata_options {\r\n    http_tokens = "optional" # é\r\n  }\r\n}\r\n';
const AFTER = BEFORE.replace('optional', 'required');

describe('imdswatch scan --fix', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'scan-fix-'));
    writeFileSync(join(directory, 'main.tf'), BEFORE);
    chmodSync(join(directory, 'main.tf'), 0o640);
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const scan = (args: string[], input = '') => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', MAIN, 'scan', ...args],
      { cwd: directory, encoding: 'utf8', input, timeout: 60_000 },
    );
    return { status, stdout, stderr };
  };
  const text = () => readFileSync(join(directory, 'main.tf'), 'utf8');

  it('edits the literal, keeps every other byte and the mode, and changes nothing the second time', () => {
    const first = scan(['--format', 'json', '--fix']);
    assert.equal(first.status, 0);
    assert.match(first.stderr, /^Fixed 1 finding in 1 file\.$/m);
    assert.deepEqual(JSON.parse(first.stdout).findings, []);
    assert.equal(text(), AFTER);
    assert.equal(statSync(join(directory, 'main.tf')).mode & 0o777, 0o640);
    assert.match(scan(['--format', 'json', '--fix']).stderr, /^Fixed 0 findings in 0 files\.$/m);
    assert.equal(text(), AFTER);
  });

  it('shows a diff that git applies, and writes nothing without --fix', () => {
    const { status, stdout } = scan(['--diff']);
    assert.equal(status, 4);
    assert.equal(text(), BEFORE);
    assert.match(stdout, /^--- a\/main\.tf\n\+\+\+ b\/main\.tf\n/);
    const applied = spawnSync('git', ['apply', '-'], { cwd: directory, input: stdout, encoding: 'utf8' });
    assert.equal(applied.status, 0, applied.stderr);
    assert.equal(text(), AFTER);
  });

  it('follows a link inside the tree to the file', () => {
    writeFileSync(join(directory, 'real.txt'), BEFORE);
    rmSync(join(directory, 'main.tf'));
    symlinkSync('real.txt', join(directory, 'main.tf'));
    scan(['--format', 'json', '--fix']);
    assert.equal(readFileSync(join(directory, 'real.txt'), 'utf8'), AFTER);
  });

  it('reads standard input, and refuses to fix it in place', () => {
    const { status, stdout } = scan(['--format', 'json', '--stdin-name', 'x.tf', '-'], BEFORE);
    assert.equal(status, 4);
    assert.equal(JSON.parse(stdout).findings[0].path, 'x.tf');
    const refused = scan(['--fix', '-'], BEFORE);
    assert.equal(refused.status, 2);
    assert.match(refused.stderr, /Standard input cannot be fixed in place/);
  });

  it('takes variables from the command line', () => {
    writeFileSync(
      join(directory, 'main.tf'),
      'variable "t" {}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = var.t\n  }\n}\n',
    );
    assert.equal(scan(['--format', 'json', '--var', 't=required']).status, 0);
    assert.equal(scan(['--format', 'json', '--var', 't=optional']).status, 4);
    assert.equal(scan(['--format', 'json', '--fail-on', 'warning']).status, 4);
    assert.equal(scan(['--format', 'json']).status, 0);
  });

  it('names a path that does not exist', () => {
    const { status, stderr } = scan(['missing']);
    assert.equal(status, 2);
    assert.match(stderr, /missing cannot be read/);
  });
});
