/** Finds the packages that a script or a Dockerfile installs by name and release. */
import { basename } from 'node:path/posix';
import type { Ecosystem } from '../../known_clients/client.ts';
import { type Command, parseShell, type Word } from '../callers/shell_parser.ts';
import { type Dependency, pinned } from './dependency.ts';

interface Installer {
  program: RegExp;
  verb: RegExp;
  ecosystem: Ecosystem;
  /** Group 1 is the name, group 2 the release. */
  argument: RegExp;
}

const INSTALLERS: readonly Installer[] = [
  {
    program: /^pip[\d.]*$|^pipx$|^uv$/,
    verb: /^install$|^add$/,
    ecosystem: 'pypi',
    argument: /^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?===?([\w.+!-]+)$/,
  },
  {
    program: /^(?:npm|pnpm|yarn|bun)$/,
    verb: /^(?:i|install|add)$/,
    ecosystem: 'npm',
    argument: /^(@?[^@\s]+)@(\d[\w.+-]*)$/,
  },
  {
    program: /^go$/,
    verb: /^(?:get|install)$/,
    ecosystem: 'go',
    argument: /^([\w.-]+\/[^@\s]+)@(v\d[\w.+-]*)$/,
  },
  {
    program: /^composer$/,
    verb: /^(?:require|install)$/,
    ecosystem: 'composer',
    argument: /^([\w.-]+\/[\w.-]+)[:=@](\d[\w.-]*)$/,
  },
  { program: /^gem$/, verb: /^install$/, ecosystem: 'gem', argument: /^([\w.-]+):(\d[\w.-]*)$/ },
];

export function installedPackages(text: string): Dependency[] {
  return parseShell(text).commands.flatMap((command) => {
    const at = command.words.findIndex(({ text: word }) =>
      INSTALLERS.some(({ program }) => program.test(basename(word))),
    );
    if (at === -1) return [];
    const name = basename(command.words[at]!.text);
    const installer = INSTALLERS.find(({ program }) => program.test(name))!;
    const words = command.words.slice(at + 1);
    if (!words.some(({ text: word }) => installer.verb.test(word))) return [];
    return [
      ...words.flatMap((word) => named(installer, word, command)),
      ...gemWithOption(installer, words, command),
    ];
  });
}

function named({ argument, ecosystem }: Installer, word: Word, command: Command): Dependency[] {
  const match = argument.exec(word.text);
  return match === null ? [] : [pinned(ecosystem, match[1]!, match[2]!, place(word, command))];
}

/** `gem install NAME -v 1.2.3`. */
function gemWithOption({ ecosystem }: Installer, words: readonly Word[], command: Command): Dependency[] {
  if (ecosystem !== 'gem') return [];
  const option = words.findIndex(({ text }) => /^(?:-v|--version)(?:=|$)/.test(text));
  const name = words.find(({ text }) => /^[a-z][\w-]*$/.test(text) && text !== 'install');
  if (option === -1 || name === undefined) return [];
  const inline = /=(.+)$/.exec(words[option]!.text)?.[1];
  const version = inline ?? words[option + 1]?.text;
  return version !== undefined && /^\d/.test(version)
    ? [pinned('gem', name.text, version, place(name, command))]
    : [];
}

function place({ start, end }: Word, command: Command) {
  return { start, end, scopeStart: Math.min(start, command.start), scopeEnd: Math.max(end, command.end) };
}
