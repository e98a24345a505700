/**
 * Every command of the documents. What can be run here is run as it stands there, document by document in order, on a stage of
 * its own; of what cannot, the shell's syntax and the names of our commands and flags are checked, as of everything.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { before, describe, test } from 'node:test';
import { type DescribedCommand, describeCommands } from '../../../packaging/commands.ts';
import { type Block, blocksOf, documents, imdswatchCommands, readmes } from '../../support/docs/documents.ts';
import { prepare } from '../../support/docs/scenery.ts';
import { type Running, Stage } from '../../support/docs/stage.ts';

const isRoot = process.getuid?.() === 0;
const shells = documents().map((document) => ({
  name: document.name,
  blocks: blocksOf(document).filter(({ language }) => language === 'sh'),
  files: blocksOf(document).filter((block) => fileName(block) !== null),
}));

/** A block that begins with a comment that is a file's name is that file. */
function fileName({ language, text }: Block): string | null {
  return language === 'yaml' ? (/^# ([\w/.-]+\.yaml)$/.exec(text.split('\n')[0]!)?.[1] ?? null) : null;
}

const everywhere = [...documents(), ...readmes()]
  .flatMap(blocksOf)
  .filter(({ language }) => language === 'sh');

describe('every command', () => {
  let commands: DescribedCommand[];
  before(async () => {
    commands = await describeCommands();
  });

  test('is shell', () => {
    for (const { document, line, text } of everywhere) {
      assert.doesNotThrow(
        () => execFileSync('bash', ['-n'], { input: text, stdio: ['pipe', 'ignore', 'pipe'] }),
        `${document}:${line}`,
      );
    }
  });

  test('of ours exists, with its flags', () => {
    for (const { document, line, text } of everywhere) {
      for (const words of imdswatchCommands(text)) {
        assert.equal(wrongWord(commands, words), null, `${document}:${line}: imdswatch ${words.join(' ')}`);
      }
    }
  });

  test('that is wrong is found', () => {
    const wrongIn = (shell: string) => imdswatchCommands(shell).map((words) => wrongWord(commands, words));
    assert.deepEqual(wrongIn('sudo bin/imdswatch watch -i eth0 | head; imdswatch offenders --since 7d'), [
      null,
      null,
    ]);
    assert.deepEqual(wrongIn('x=$(imdswatch token create --kind person --nmae x)'), ['--nmae']);
    assert.deepEqual(wrongIn('kubectl -n imdswatch exec deploy/x -- imdswatch tokens'), ['tokens']);
    assert.deepEqual(wrongIn('imdswatch token make'), ['make']);
    assert.deepEqual(wrongIn('imdswatch watch \\\n  --no-json --jason=1 # --not-this'), ['--jason=1']);
  });
});

/** The first word that no command, verb or flag has; null when all is right. */
function wrongWord(commands: readonly DescribedCommand[], words: readonly string[]): string | null {
  const [name = '', ...rest] = words;
  if (['--version', '--help', 'help', 'COMMAND'].includes(name)) return null;
  const command = commands.find((one) => one.name === name);
  if (command === undefined) return name;
  let described = command.described;
  if (command.verbs.length > 0 && rest[0] !== '--help') {
    const verb = command.verbs.find((one) => one.command === `${name} ${rest[0]}`);
    if (verb === undefined) return rest[0] ?? '';
    described = verb;
  }
  const flags = ['--help', '--config', '-h'];
  for (const { flag, letter, kind } of described.options) {
    flags.push(`--${flag}`);
    if (letter !== null) flags.push(`-${letter}`);
    if (kind === 'boolean') flags.push(`--no-${flag}`);
  }
  return rest.find((word) => /^-./.test(word) && !flags.includes(word.split('=')[0]!)) ?? null;
}

for (const { name, blocks, files } of shells) {
  const toRun = blocks.filter(({ notRun }) => notRun === null);
  const skip =
    toRun.length === 0
      ? 'nothing in it can be run here'
      : !isRoot && 'needs root: builds network namespaces and captures packets';
  describe(`commands of ${name}`, { skip }, () => {
    for (const { line, notRun } of blocks)
      if (notRun !== null) test(`line ${line}`, { skip: notRun }, () => {});

    test('run as they stand there', async (t) => {
      const stage = await Stage.open();
      const going: { block: Block; running: Running }[] = [];
      try {
        await prepare(name, stage);
        for (const file of files) await stage.put(fileName(file)!, file.text);
        for (const block of toRun) {
          await t.test(`line ${block.line}: ${block.text.split('\n')[0]}`, async () => {
            if (block.goesOn === null) {
              judge(block, await stage.run(block.text));
              return;
            }
            const running = await stage.start(block.text, block.says);
            if (block.goesOn === 'stays') going.push({ block, running });
            else judge(block, await running.end());
          });
        }
        for (const { block, running } of going.reverse()) judge(block, await running.end());
      } finally {
        await stage.close();
      }
    });
  });
}

function judge(
  { document, line, text, says, exitCode }: Block,
  ended: { status: number | null; output: string },
): void {
  const about = `${document}:${line}:\n${text}\nended with ${ended.status} and said:\n${ended.output}`;
  assert.equal(ended.status, exitCode, about);
  for (const piece of says) assert.ok(ended.output.includes(piece), `"${piece}" is missing. ${about}`);
}
