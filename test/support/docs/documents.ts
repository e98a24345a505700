/** The documents, and what is in them that can be checked: commands, settings, links. */
import { globSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';

export const ROOT = join(import.meta.dirname, '../../..');

/** A fenced block, and what the comment before it says of how it is tested. */
export interface Block {
  document: string;
  /** Number of its first line. */
  line: number;
  language: string;
  text: string;
  /** Why it is not run here; null where it is run. */
  notRun: string | null;
  /** Texts that its output must contain. */
  says: string[];
  /** It does not end by itself: once it has said that, it is left running (`stays`), or told to end as by Ctrl-C. */
  goesOn: 'stays' | 'is ended' | null;
  exitCode: number;
}

export interface Document {
  name: string;
  path: string;
  text: string;
}

/** For users, every command of which is run where it can be. */
export function documents(): Document[] {
  return [join(ROOT, 'README.md'), ...globSync(join(ROOT, 'docs/*.md')).sort()].map(read);
}

/** Documents beside the files that they describe, whose own tests run them. */
export function readmes(): Document[] {
  return globSync(join(ROOT, 'docker/**/README.md')).sort().map(read);
}

function read(path: string): Document {
  const name = basename(path) === 'README.md' ? relative(ROOT, path) : basename(path);
  return { name, path, text: readFileSync(path, 'utf8') };
}

/**
 * `<!-- not run: WHY -->` or `<!-- run: … -->` may stand on the line before a block. The latter has, with semicolons in between,
 * `says "TEXT"`, `stays`, `is ended`, `exit code N`; without it a block is run to its end, which must be a success.
 */
export function blocksOf({ name, text }: { name: string; text: string }): Block[] {
  const blocks: Block[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const language = /^```(\w+)$/.exec(lines[at]!)?.[1];
    if (language === undefined) continue;
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`${name}:${at + 1}: the block has no end`);
    const before = lines[at - 1] ?? '';
    blocks.push({
      document: name,
      line: at + 1,
      language,
      text: lines.slice(at + 1, end).join('\n'),
      notRun: /^<!-- not run: (.+) -->$/.exec(before)?.[1] ?? null,
      ...directions(/^<!-- run: (.+) -->$/.exec(before)?.[1] ?? '', `${name}:${at}`),
    });
    at = end;
  }
  return blocks;
}

function directions(text: string, where: string): Pick<Block, 'says' | 'goesOn' | 'exitCode'> {
  const found: Pick<Block, 'says' | 'goesOn' | 'exitCode'> = { says: [], goesOn: null, exitCode: 0 };
  for (const direction of text.split(/; */).filter((part) => part !== '')) {
    const says = /^says "(.+)"$/.exec(direction)?.[1];
    const exitCode = /^exit code (\d+)$/.exec(direction)?.[1];
    if (says !== undefined) found.says.push(says);
    else if (exitCode !== undefined) found.exitCode = Number(exitCode);
    else if (direction === 'stays' || direction === 'is ended') found.goesOn = direction;
    else throw new Error(`${where}: "${direction}" is no direction`);
  }
  if (found.goesOn !== null && found.says.length === 0) {
    throw new Error(`${where}: what goes on must say something first`);
  }
  return found;
}

/** Every `imdswatch …` in a shell's text as its words: command, flags and values. */
export function imdswatchCommands(shell: string): string[][] {
  const commands: string[][] = [];
  const joined = shell.replaceAll('\\\n', ' ').replace(/^\s*#.*$/gm, '');
  for (const line of joined.split(/\n|\|\||&&|[|;&()`]/)) {
    const words = [...line.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g)].map(
      ([, double, single, bare]) => double ?? single ?? bare!,
    );
    // Matches a command, not an argument, such as a `kubectl` with a namespace of that name.
    const at = words.findIndex(
      (word, index) =>
        /(^|\/)imdswatch$/.test(word) &&
        (words[index - 1] === '--' ||
          words.slice(0, index).every((before) => /^(sudo|exec|\w+=.*)$/.test(before))),
    );
    if (at < 0) continue;
    const rest = words.slice(at + 1);
    const comment = rest.findIndex((word) => word.startsWith('#'));
    commands.push(comment < 0 ? rest : rest.slice(0, comment));
  }
  return commands;
}
