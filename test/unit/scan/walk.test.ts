/** Tests which files a scan looks at. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Problem } from '../../../scan/finding.ts';
import { LIMITS } from '../../../scan/limits.ts';
import { walk } from '../../../scan/walk.ts';

describe('walk', () => {
  const directory = mkdtempSync(join(tmpdir(), 'scan-walk-'));
  after(() => rmSync(directory, { recursive: true }));
  const tree = join(directory, 'tree');
  const files: Record<string, string> = {
    'tree/.git/config': '',
    'tree/.gitignore': 'build/\n*.log\n!keep.log\n',
    'tree/main.tf': '',
    'tree/build/out.tf': '',
    'tree/a.log': '',
    'tree/keep.log': '',
    'tree/sub/.gitignore': '!a.log\nlocal.tf\n',
    'tree/sub/a.log': '',
    'tree/sub/local.tf': '',
    'tree/sub/deep/x.tf': '',
    'tree/.terraform/modules/m.tf': '',
    'outside.tf': '',
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
  symlinkSync('../outside.tf', join(tree, 'leaves.tf'));
  symlinkSync('main.tf', join(tree, 'stays.tf'));
  symlinkSync('..', join(tree, 'sub/loop'));
  symlinkSync('nowhere', join(tree, 'dangling.tf'));

  const walked = (paths: string[], limits = LIMITS) => {
    const problems: Problem[] = [];
    return { paths: [...walk(paths, tree, limits, problems)].map(({ path }) => path), problems };
  };

  it('honours .gitignore as git does, and never leaves the tree', () => {
    assert.deepEqual(walked(['.']).paths, [
      '.gitignore',
      'keep.log',
      'main.tf',
      'stays.tf',
      'sub/.gitignore',
      'sub/a.log',
      'sub/deep/x.tf',
    ]);
  });

  it('applies the .gitignore of directories above the named one', () => {
    assert.deepEqual(walked(['sub']).paths, ['sub/.gitignore', 'sub/a.log', 'sub/deep/x.tf']);
  });

  it('takes a named file even when it is ignored, and each file once', () => {
    assert.deepEqual(walked(['a.log', 'a.log', 'sub/deep', 'sub/deep/x.tf']).paths, [
      'a.log',
      'sub/deep/x.tf',
    ]);
  });

  it('states each bound that it reaches', () => {
    assert.match(walked(['.'], { ...LIMITS, files: 2 }).problems[0]!.message, /^More than 2 files/);
    assert.match(walked(['.'], { ...LIMITS, depth: 1 }).problems[0]!.message, /deeper than 1/);
  });

  it('names a path that does not exist', () => {
    assert.throws(() => walked(['missing']), /missing cannot be read/);
  });
});
