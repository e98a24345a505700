/** Makes the manual pages in the language of man(7): imdswatch(1), and one of section 8 for each command. */
import type { CommandDescription, OptionDescription } from '../cli/settings/help_requested.ts';
import type { DescribedCommand } from './commands.ts';

export interface Release {
  version: string;
  timeSeconds: number;
}

/** Returns the pages by file name: `imdswatch-agent.8`. */
export function manualPages(commands: readonly DescribedCommand[], release: Release): Map<string, string> {
  const pages = new Map([['imdswatch.1', overview(commands, release)]]);
  for (const command of commands)
    pages.set(`imdswatch-${command.name}.8`, commandPage(command, commands, release));
  return pages;
}

function overview(commands: readonly DescribedCommand[], release: Release): string {
  return page('imdswatch', 1, release, [
    ...section('NAME', ['imdswatch \\- finds which process on an EC2 host still calls IMDSv1']),
    ...section('SYNOPSIS', ['.B imdswatch', '.I COMMAND', '[options]']),
    ...section('DESCRIPTION', [
      text(
        "imdswatch watches a host's traffic to the instance metadata service, tells IMDSv1 from IMDSv2 request by request, and names the process, container, pod and systemd unit that made each. An agent on every host reports to a collector, which says who still calls IMDSv1 and which hosts are proven safe for HttpTokens=required.",
      ),
    ]),
    ...section(
      'COMMANDS',
      commands.flatMap(({ name, summary }) => [
        '.TP',
        `.BR imdswatch\\-${roff(name)} (8)`,
        text(`${summary}.`),
      ]),
    ),
    ...section('EXIT STATUS', exitStatus()),
    ...section('FILES', files()),
    ...section('SEE ALSO', seeAlso(commands, null)),
  ]);
}

function commandPage(command: DescribedCommand, all: readonly DescribedCommand[], release: Release): string {
  const { name, summary, described, verbs } = command;
  const lead = verbs.length === 0 ? [text(described.summary)] : literal(described.summary);
  const forms = verbs.length === 0 ? [described] : verbs;
  return page(`imdswatch-${name}`, 8, release, [
    ...section('NAME', [`imdswatch\\-${roff(name)} \\- ${roff(lowerFirst(summary))}`]),
    ...section('SYNOPSIS', synopsis(forms)),
    ...section('DESCRIPTION', lead),
    ...(verbs.length === 0 ? section('OPTIONS', options(described.options)) : []),
    ...verbs.flatMap((verb) => [
      ...section(`imdswatch ${verb.command}`.toUpperCase(), [text(verb.summary), ...options(verb.options)]),
    ]),
    ...section('PRECEDENCE', [
      text(
        'Each option can also be set by the environment variable shown with it and by a key of the file that --config names (the option without dashes at its front, with _ for -). A flag goes before the environment, and that before the file.',
      ),
    ]),
    ...section('EXIT STATUS', exitStatus()),
    ...section('FILES', files()),
    ...section('SEE ALSO', seeAlso(all, name)),
  ]);
}

function synopsis(forms: readonly CommandDescription[]): string[] {
  return forms.flatMap(({ command, positionals }, index) => [
    ...(index === 0 ? [] : ['.br']),
    `.B imdswatch ${roff(command)}`,
    ...positionals.map((name) => (name.startsWith('[') ? roff(name) : `.I ${roff(name)}`)),
    '[options]',
  ]);
}

function options(all: readonly OptionDescription[]): string[] {
  const rows = all.flatMap((option) => {
    const { flag, letter, kind, choices, environment, fallback } = option;
    const value =
      kind === 'boolean' ? '' : ` \\fI${roff(choices.length > 0 ? choices.join('|') : 'VALUE')}\\fR`;
    const short = letter === null ? '' : `\\fB\\-${letter}\\fR, `;
    const notes = flag === null ? [] : [`Environment: ${environment}.`];
    if (fallback !== null) notes.unshift(`Default: ${fallback}.`);
    // A secret without a flag is listed by its name in the environment.
    const name = flag === null ? roff(environment) : `\\-\\-${roff(flag)}`;
    return ['.TP', `${short}\\fB${name}\\fR${value}`, text(`${option.text} ${notes.join(' ')}`)];
  });
  return [
    ...rows,
    ...[
      '.TP',
      '\\fB\\-\\-config\\fR \\fIFILE\\fR',
      text('YAML file with these settings. Environment: IMDSWATCH_CONFIG.'),
    ],
    ...['.TP', '\\fB\\-h\\fR, \\fB\\-\\-help\\fR', text('Print a summary of these options.')],
  ];
}

function exitStatus(): string[] {
  const statuses = [
    ['0', 'Done.'],
    ['1', 'Failed.'],
    ['2', 'Bad usage or configuration; the message names the setting and its value.'],
    ['3', 'Not permitted; the message names the missing capability or program.'],
  ] as const;
  return statuses.flatMap(([status, meaning]) => ['.TP', `.B ${status}`, text(meaning)]);
}

function files(): string[] {
  const known = [
    ['/etc/imdswatch/agent.yaml', 'Configuration of imdswatch-agent.service.'],
    ['/etc/imdswatch/collector.yaml', 'Configuration of imdswatch-collector.service.'],
    ['/var/lib/imdswatch', "The agent's spool and credential, and the collector's store."],
  ] as const;
  return known.flatMap(([path, meaning]) => ['.TP', `.I ${roff(path)}`, text(meaning)]);
}

function seeAlso(commands: readonly DescribedCommand[], except: string | null): string[] {
  const others = commands
    .filter(({ name }) => name !== except)
    .map(({ name }) => [`imdswatch\\-${roff(name)}`, 8] as const);
  const pages = except === null ? others : [['imdswatch', 1] as const, ...others];
  return pages.map(
    ([name, number], index) => `.BR ${name} (${number})${index === pages.length - 1 ? '' : ','}`,
  );
}

function page(
  name: string,
  number: number,
  { version, timeSeconds }: Release,
  lines: readonly string[],
): string {
  const day = new Date(timeSeconds * 1000).toISOString().slice(0, 10);
  const title = `.TH ${name.toUpperCase().replaceAll('-', '\\-')} ${number} ${day} "imdswatch ${version}" "imdswatch"`;
  return `${[title, ...lines].join('\n')}\n`;
}

function section(name: string, lines: readonly string[]): string[] {
  return [`.SH ${roff(name)}`, ...lines];
}

/** Formats text that is laid out already: examples and tables. */
function literal(words: string): string[] {
  return ['.nf', ...words.trimEnd().split('\n').map(text), '.fi'];
}

/** Escapes a line of text. A dot or a quote at its start would make it a request. */
function text(words: string): string {
  const escaped = roff(words);
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

function roff(words: string): string {
  return words.replaceAll('\\', '\\e').replaceAll('-', '\\-');
}

function lowerFirst(words: string): string {
  return /^[A-Z][a-z]/.test(words) ? words[0]!.toLowerCase() + words.slice(1) : words;
}
