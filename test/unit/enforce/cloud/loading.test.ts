/** The AWS SDK takes 93 MB of memory, and the agent and the collector hold no cloud credentials. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { commands } from '../../../../cli/command_list.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const COMMAND_LIST = join(ROOT, 'cli/command_list.ts');
const SDK = /^@(aws-sdk|aws|smithy)\//;
const STATIC =
  /(?:^|\n)\s*(?:import|export)\s(?!type\b)[^;'"]*?from\s*['"]([^'"]+)['"]|(?:^|\n)import\s*['"]([^'"]+)['"]/g;
const DYNAMIC = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;
/** A module that is started as a worker or a program is named by its file. */
const NAMED = /['"`](\.{1,2}\/[^'"`\n]+\.ts)['"`]/g;
const MAY_LOAD = ['cloud', 'enforce'];

/** Returns the packages that are loaded by a module, and the files that it loads. */
function loadedBy(start: string, patterns: readonly RegExp[]): { packages: Set<string>; files: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const waiting = [join(ROOT, start)];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    // The list loads the one command that was typed: a program that starts others names it.
    if (files.has(file) || file === COMMAND_LIST) continue;
    files.add(file);
    const text = readFileSync(file, 'utf8');
    for (const pattern of patterns) {
      for (const [, from, bare] of text.matchAll(pattern)) {
        const name = from ?? bare!;
        if (name.startsWith('.')) waiting.push(join(dirname(file), name));
        else packages.add(name);
      }
    }
  }
  return { packages, files };
}

function commandFile(name: string): string {
  const file = /'\.\/(commands\/[^']+)'/.exec(String(commands[name]!.load))?.[1];
  assert.ok(file !== undefined, name);
  return `cli/${file}`;
}

describe('the AWS SDK', () => {
  const others = Object.keys(commands).filter((name) => !MAY_LOAD.includes(name));
  for (const name of others) {
    it(`is loaded by nothing that "imdswatch ${name}" can load`, () => {
      const { packages, files } = loadedBy(commandFile(name), [STATIC, DYNAMIC, NAMED]);
      assert.deepEqual(
        [...packages].filter((found) => SDK.test(found)),
        [],
      );
      assert.deepEqual(
        [...files].filter((file) => file.startsWith(join(ROOT, 'enforce/cloud/'))),
        [],
      );
    });
  }

  it('is found by this test where it is loaded', () => {
    const { packages } = loadedBy('enforce/cloud/aws_cloud.ts', [STATIC]);
    assert.ok([...packages].some((name) => SDK.test(name)));
  });

  for (const name of MAY_LOAD.filter((candidate) => candidate in commands)) {
    it(`is loaded by "imdswatch ${name}" when it is used, not with its help`, () => {
      const { packages } = loadedBy(commandFile(name), [STATIC]);
      assert.deepEqual(
        [...packages].filter((found) => SDK.test(found)),
        [],
      );
      const all = loadedBy(commandFile(name), [STATIC, DYNAMIC]);
      assert.ok([...all.packages].some((found) => SDK.test(found)));
    });
  }
});
