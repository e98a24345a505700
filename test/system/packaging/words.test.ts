/** Tests the texts in packages: configuration files, manual pages, completion, maintainer scripts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import type * as z from 'zod';
import { agentSettings } from '../../../agent/config.ts';
import { collectorSettings } from '../../../collector/config.ts';
import { javascript } from '../../../packaging/application.ts';
import { type DescribedCommand, describeCommands } from '../../../packaging/commands.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../../../packaging/completion.ts';
import { configurationFile } from '../../../packaging/configuration.ts';
import { maintainerScripts } from '../../../packaging/maintainer_scripts.ts';
import { manualPages } from '../../../packaging/manual.ts';

const RELEASE = { version: '1.2.3', timeSeconds: 1_700_000_000 };
let commands: DescribedCommand[];
let directory: string;

before(async () => {
  commands = await describeCommands();
  directory = mkdtempSync(join(tmpdir(), 'imdswatch-words-'));
});
after(() => rmSync(directory, { recursive: true }));

function isHere(program: string): boolean {
  return spawnSync(program, ['--version']).error === undefined;
}

function described(name: string) {
  return commands.find((command) => command.name === name)!.described;
}

describe('/etc/imdswatch/*.yaml', () => {
  for (const [name, schema] of [
    ['agent', agentSettings],
    ['collector', collectorSettings],
  ] as [string, z.ZodObject][]) {
    it(`changes nothing as it comes: ${name}`, () => {
      assert.equal(parse(configurationFile(described(name))), null);
    });

    it(`has every setting of it, and each default as the schema has it: ${name}`, () => {
      const bare = configurationFile(described(name)).replaceAll(/^#(?=[a-z_]+:)/gm, '');
      const given = parse(bare) as Record<string, unknown>;
      assert.deepEqual(Object.keys(given).sort(), Object.keys(schema.shape).sort());
      const defaults = schema.parse({}) as Record<string, unknown>;
      for (const [key, value] of Object.entries(defaults)) assert.deepEqual(given[key], value, key);
    });
  }
});

describe('manual pages', () => {
  it('are there for the whole and for every command, and name every option', () => {
    const pages = manualPages(commands, RELEASE);
    assert.equal(pages.size, commands.length + 1);
    for (const { name, described, verbs } of commands) {
      const page = pages.get(`imdswatch-${name}.8`)!;
      for (const { flag, environment } of [described, ...verbs].flatMap(({ options }) => options)) {
        if (flag === null) assert.ok(page.includes(environment), environment);
        else assert.ok(page.includes(`\\-\\-${flag.replaceAll('-', '\\-')}`), `${name} --${flag}`);
      }
    }
  });

  it('are good manual pages', (t) => {
    if (spawnSync('mandoc', ['-h']).error !== undefined) return t.skip('mandoc is not here');
    for (const [name, page] of manualPages(commands, RELEASE)) {
      const { stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'warning'], {
        input: page,
        encoding: 'utf8',
      });
      assert.equal(stdout, '', name);
      const { stdout: text } = spawnSync('mandoc', ['-T', 'utf8'], { input: page, encoding: 'utf8' });
      assert.match(text.replaceAll(/.\x08/g, ''), /^EXIT STATUS$/m);
    }
  });
});

describe('completion', () => {
  /** Words that bash would offer for the last of these. */
  function bash(...words: string[]): string[] {
    const file = join(directory, 'bash');
    writeFileSync(file, bashCompletion(commands));
    const script = `. ${file}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _imdswatch; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', script, 'bash', ...words], {
      encoding: 'utf8',
      cwd: directory,
    });
    assert.equal(stderr, '');
    return stdout.split('\n').filter((word) => word !== '');
  }

  it('in bash offers commands, verbs, options, values and files', () => {
    assert.deepEqual(bash('imdswatch', 'coll'), ['collector']);
    assert.deepEqual(bash('imdswatch', ''), [...commands.map(({ name }) => name), '--help', '--version']);
    assert.deepEqual(bash('imdswatch', 'token', 're'), ['revoke']);
    assert.deepEqual(bash('imdswatch', 'token', 'create', '--exp'), ['--expires-days']);
    assert.deepEqual(bash('imdswatch', 'agent', '--attribution', ''), ['auto', 'ebpf', 'tracepoint', 'proc']);
    assert.deepEqual(bash('imdswatch', 'agent', '--spool-d'), ['--spool-dir']);
    assert.deepEqual(bash('imdswatch', 'read', 'ba'), ['bash']);
    assert.deepEqual(bash('imdswatch', 'agent', '--config', 'ba'), ['bash']);
  });

  it('in fish offers the same', (t) => {
    if (!isHere('fish')) return t.skip('fish is not here');
    const file = join(directory, 'fish');
    writeFileSync(file, fishCompletion(commands));
    const fish = (line: string) => {
      const { stdout, stderr } = spawnSync('fish', ['-N', '-c', `source ${file}; complete -C '${line}'`], {
        encoding: 'utf8',
      });
      assert.equal(stderr, '');
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((row) => row.split('\t')[0]);
    };
    assert.deepEqual(fish('imdswatch coll'), ['collector']);
    assert.deepEqual(fish('imdswatch token re'), ['revoke']);
    assert.deepEqual(fish('imdswatch agent --attribution '), ['auto', 'ebpf', 'proc', 'tracepoint']);
  });

  it('in zsh offers the same', (t) => {
    if (!isHere('zsh')) return t.skip('zsh is not here');
    const file = join(directory, '_imdswatch');
    writeFileSync(file, zshCompletion(commands));
    // Outside its line editor zsh completes nothing: what would be asked of it is recorded.
    const asked = (...words: string[]) => {
      const script = `_describe() { print -rl -- "\${(@P)2}" }; _arguments() { print -rl -- $CURRENT "$words" "$@" }; words=("$@"); CURRENT=$#; . ${file}`;
      const { stdout, stderr } = spawnSync('zsh', ['-f', '-c', script, 'zsh', ...words], {
        encoding: 'utf8',
      });
      assert.equal(stderr, '');
      return stdout;
    };
    assert.match(asked('imdswatch', ''), /^collector:/m);
    assert.match(asked('imdswatch', 'token', ''), /^revoke:/m);
    const [current, line, ...specs] = asked('imdswatch', 'token', 'create', '--kind', '').split('\n');
    assert.deepEqual([current, line], ['3', 'imdswatch --kind ']);
    assert.ok(
      specs.some((spec) => /^--kind\[.*\]:value:\(person enrolment agent\)$/.test(spec)),
      specs.join('\n'),
    );
  });
});

describe('maintainer scripts', () => {
  for (const format of ['deb', 'rpm'] as const) {
    it(`are scripts that any shell reads: ${format}`, () => {
      const scripts = maintainerScripts(format);
      assert.ok(scripts.size >= 3);
      for (const [name, script] of scripts) {
        for (const shell of [['sh'], ['bash', '--posix']]) {
          const { status, stderr } = spawnSync(shell[0]!, [...shell.slice(1), '-n'], {
            input: script,
            encoding: 'utf8',
          });
          assert.equal(status, 0, `${name}: ${stderr}`);
        }
      }
    });
  }
});

describe('our modules without types', () => {
  it('import one another by the names they have then', () => {
    const typed = `import type { A } from './a.ts';
import { b } from '../b.ts';
const worker: URL = new URL('./w.ts', import.meta.url);
const c = await import('./c.ts');
const main = join(import.meta.dirname, 'main.ts');
const words = 'a.ts is a file';`;
    const text = javascript(typed);
    assert.doesNotMatch(text, /\.ts['"]/);
    for (const name of ["'../b.js'", "'./w.js'", "'./c.js'", "'main.js'", "'a.ts is a file'"])
      assert.ok(text.includes(name), name);
    assert.equal(text.split('\n').length, typed.split('\n').length);
  });
});
