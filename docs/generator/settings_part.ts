/** Makes the tables of all settings of all commands from the schemas that check them. */
import type { CommandDescription, OptionDescription } from '../../cli/settings/help_requested.ts';
import { describeCommands } from '../../packaging/commands.ts';
import { code, table } from './generated_part.ts';

/** The commands whose settings other commands share come first, and describe them. */
const FIRST = ['agent', 'collector', 'readiness'];
/** A smaller number of shared settings is repeated and not referred to. */
const WORTH_A_REFERENCE = 4;

export async function settingsPart(): Promise<string> {
  const commands = await describeCommands();
  const ordered = [
    ...FIRST.map((first) => commands.find(({ name }) => name === first)!),
    ...commands.filter(({ name }) => !FIRST.includes(name)),
  ];
  const known: CommandDescription[] = [];
  return ordered
    .flatMap(({ name, described, verbs }) => {
      const parts = verbs.length > 0 ? verbs : [described];
      const sections = parts.map((part) => section(part, known));
      if (FIRST.includes(name)) known.push(described);
      return sections;
    })
    .join('\n\n');
}

function section(described: CommandDescription, known: readonly CommandDescription[]): string {
  const { command, summary, positionals, options } = described;
  const words = ['imdswatch', command, ...positionals].filter((word) => word !== '').join(' ');
  const references: string[] = [];
  let own = options;
  for (const { command: of, options: theirs } of known) {
    const shared = own.filter((option) => theirs.some((their) => isSame(option, their)));
    if (shared.length < WORTH_A_REFERENCE) continue;
    own = own.filter((option) => !shared.includes(option));
    references.push(
      `As [imdswatch ${of}](#imdswatch-${of}) has them: ${shared.map(({ key }) => code(key)).join(', ')}.`,
    );
  }
  const rows = own.map((option) => [code(option.key), valuesOf(option), defaultOf(option), option.text]);
  return [
    `## ${words.replace(/ (\[|[A-Z]).*$/, '')}`,
    `${code(words)}: ${summary}`,
    ...references,
    ...(rows.length > 0 ? [table(['setting', 'values', 'default', 'meaning'], rows)] : []),
    ...(options.length === 0 ? ['No settings.'] : []),
  ].join('\n\n');
}

function isSame(one: OptionDescription, other: OptionDescription): boolean {
  return JSON.stringify({ ...one, letter: null }) === JSON.stringify({ ...other, letter: null });
}

function valuesOf({ kind, choices, range, letter }: OptionDescription): string {
  const short = letter === null ? '' : ` (also ${code(`-${letter}`)})`;
  const list = kind === 'array' ? 'list' : '';
  if (choices.length > 0) return `${list === '' ? '' : 'list of '}${choices.map(code).join(', ')}${short}`;
  if (list !== '') return `${list}${short}`;
  if (kind === 'boolean') return `switch${short}`;
  if (kind === 'string') return `text${short}`;
  const { least, most } = range;
  const count = (value: number) => value.toLocaleString('en');
  if (least !== null && most !== null) return `${count(least)} to ${count(most)}${short}`;
  return least === null ? `number${short}` : `${count(least)} or more${short}`;
}

function defaultOf({ fallback, kind }: OptionDescription): string {
  if (kind === 'boolean') return fallback === 'true' ? 'on' : 'off';
  return fallback === null ? '' : code(fallback);
}
