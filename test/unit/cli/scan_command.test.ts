/** `imdswatch scan` from end to end: forms, exit codes, standard input, baseline. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

const MAIN = join(import.meta.dirname, '../../../cli/main.ts');

describe('imdswatch scan', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-scan-'));
    writeFileSync(
      join(directory, 'boot.sh'),
      'curl http://169.254.169.254/latest/meta-data/\nexport PASSWORD=hunter2hunter2\n',
    );
    writeFileSync(join(directory, 'requirements.txt'), 'boto3==1.40.0\n');
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  function scan(
    args: readonly string[],
    input = '',
  ): { status: number | null; stdout: string; stderr: string } {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', MAIN, 'scan', ...args],
      {
        cwd: directory,
        input,
        encoding: 'utf8',
      },
    );
    return { status, stdout, stderr };
  }

  test('shows code, and ends with 4; secrets are masked', () => {
    const { status, stdout, stderr } = scan([]);
    assert.equal(status, 4, stderr);
    assert.match(stdout, /error {2}imdsv1-call {2}boot\.sh:1:6 {2}curl/);
    assert.match(stdout, /2 findings \(1 error, 1 note\) in 2 files\./);
    assert.ok(!stdout.includes('hunter2'));
    assert.ok(!stdout.includes('\x1b'));
    assert.equal(stderr, '');
  });

  test('--fail-on decides the exit code', () => {
    assert.equal(scan(['--fail-on', 'none']).status, 0);
    assert.equal(scan(['requirements.txt']).status, 0);
    assert.equal(scan(['--fail-on', 'note', 'requirements.txt']).status, 4);
  });

  test('reads standard input', () => {
    const { status, stdout } = scan(
      ['--format', 'json', '--stdin-name', 'Dockerfile', '-'],
      'FROM x\nRUN curl http://169.254.169.254/latest/\n',
    );
    assert.equal(status, 4);
    assert.partialDeepStrictEqual(JSON.parse(stdout), {
      findings: [{ path: 'Dockerfile', rule: 'imdsv1-call', range: { start: { line: 2, column: 10 } } }],
    });
  });

  test('--baseline leaves known findings out, also when they moved', () => {
    writeFileSync(join(directory, '.baseline.json'), scan(['--format', 'json', 'boot.sh']).stdout);
    const moved = '# moved\n\ncurl http://169.254.169.254/latest/meta-data/\n';
    const known = scan(['--baseline', '.baseline.json', '--stdin-name', 'boot.sh', '-'], moved);
    assert.equal(known.status, 0, known.stderr);
    assert.match(known.stdout, /^0 findings in 1 file\. 1 in the baseline\.\n$/);
    const more = `${moved}wget -qO- http://169.254.169.254/latest/user-data\n`;
    assert.equal(scan(['--baseline', '.baseline.json', '--stdin-name', 'boot.sh', '-'], more).status, 4);
  });

  test('refuses a baseline that is none', () => {
    const { status, stderr } = scan(['--baseline', 'boot.sh']);
    assert.equal(status, 2);
    assert.match(stderr, /The baseline boot\.sh is no report of imdswatch scan/);
    assert.equal(scan(['--baseline', 'missing.json']).status, 2);
  });

  test('writes each form', () => {
    const firsts = {
      sarif: '{',
      junit: '<?xml',
      github: '::error file=boot.sh,line=1',
      markdown: '## imdswatch scan',
    };
    for (const [format, first] of Object.entries(firsts)) {
      const { status, stdout } = scan(['--format', format]);
      assert.equal(status, 4);
      assert.ok(stdout.startsWith(first), stdout.slice(0, 100));
    }
  });
});
