/** The hook of pre-commit and the composite action, run as their programs run them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';

const ROOT = join(import.meta.dirname, '../../..');
const CALL = 'curl http://169.254.169.254/latest/meta-data/\n';

describe('ways in', () => {
  let directory: string;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-ways-'));
    writeFileSync(join(directory, 'a b.sh'), CALL);
    writeFileSync(join(directory, 'clean.sh'), 'true\n');
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  test('pre-commit runs the entry with arguments and changed files', () => {
    const [hook] = parse(readFileSync(join(ROOT, '.pre-commit-hooks.yaml'), 'utf8')) as [
      { id: string; entry: string; language: string; types: string[] },
    ];
    assert.deepEqual([hook.id, hook.language, hook.types], ['imdswatch-scan', 'script', ['text']]);
    const [program, ...words] = hook.entry.split(' ');
    const run = (files: readonly string[]) =>
      spawnSync(join(ROOT, program!), [...words, '--fail-on', 'warning', ...files], {
        cwd: directory,
        encoding: 'utf8',
      });
    const found = run(['a b.sh', 'clean.sh']);
    assert.equal(found.status, 4, found.stderr);
    assert.match(found.stdout, /a b\.sh:1:6/);
    assert.equal(run(['clean.sh']).status, 0);
  });

  test('the action writes annotations, a summary and SARIF', () => {
    const action = parse(readFileSync(join(ROOT, 'action.yml'), 'utf8')) as {
      inputs: Record<string, { default: string }>;
      runs: { using: string; steps: { run: string; shell: string; env: Record<string, string> }[] };
    };
    assert.equal(action.runs.using, 'composite');
    const run = (inputs: Record<string, string>) => {
      const [step] = action.runs.steps;
      const env = Object.fromEntries(
        Object.entries(step!.env).map(([name, value]) => [
          name,
          value
            .replace(
              /\$\{\{ inputs\.([\w-]+) \}\}/g,
              (_, input: string) => inputs[input] ?? action.inputs[input]!.default,
            )
            .replace(/\$\{\{ github\.action_path \}\}/g, ROOT),
        ]),
      );
      // The forge runs `shell: bash` in this way.
      return spawnSync('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', step!.run], {
        cwd: directory,
        encoding: 'utf8',
        env: { ...process.env, ...env, GITHUB_STEP_SUMMARY: join(directory, 'summary.md') },
      });
    };
    const found = run({ 'sarif-file': 'out.sarif', paths: 'a b.sh\nclean.sh' });
    assert.equal(found.status, 4, found.stderr);
    assert.match(found.stdout, /^::error file=a b\.sh,line=1/);
    assert.match(readFileSync(join(directory, 'summary.md'), 'utf8'), /## imdswatch scan/);
    assert.equal(JSON.parse(readFileSync(join(directory, 'out.sarif'), 'utf8')).version, '2.1.0');
    assert.ok(existsSync(join(directory, 'out.sarif')));
    assert.equal(run({ baseline: 'out.sarif', paths: 'a b.sh' }).status, 0);
    assert.equal(run({ 'fail-on': 'none', paths: 'a b.sh' }).status, 0);
  });
});
