/** Prints readiness as tables: a line for each host or group, and below it the reason and the next step. */
import type { Host, Readiness, ReadinessGroup } from '../../collector/contract/host.ts';
import { visibleText } from './visible_text.ts';

const MIN_COLUMNS = 80;
const MAX_COLUMNS = 160;
const INDENT = '    ';
const VERDICTS = ['blocked', 'fallback', 'rejected', 'unproven', 'ready', 'enforced'] as const;

export function readinessTable(
  hosts: readonly { host: Host; readiness: Readiness }[],
  columns: number,
): string {
  if (hosts.length === 0) return 'No host has reported yet.\n';
  const width = widthOf(columns);
  const nameWidth = width - 55;
  const lines = [
    `${'HOST'.padEnd(nameWidth)}  VERDICT   COVERAGE  ${'V1'.padStart(7)}  LAST V1 (UTC)     STATE`,
  ];
  for (const { host, readiness } of hosts) {
    const { verdict, coverage, calls_v1, last_v1, command, reason, ready_at } = readiness;
    const cells = [
      fit(nameOf(host), nameWidth),
      verdict.padEnd(8),
      `${coverage.percent}%`.padStart(8),
      `${calls_v1}`.padStart(7),
      (last_v1 === null ? '-' : last_v1.slice(0, 16).replace('T', ' ')).padEnd(16),
      host.state,
    ];
    lines.push(cells.join('  ').trimEnd());
    const when =
      ready_at === null ? '' : ` Ready at ${ready_at.slice(0, 16).replace('T', ' ')} UTC at the earliest.`;
    lines.push(...wrap(visibleText(`${reason}${when}`), width - INDENT.length).map((line) => INDENT + line));
    // A command is never cut, because people copy it.
    if (command !== null) lines.push(...command.split('\n').map((line) => `${INDENT}$ ${visibleText(line)}`));
  }
  lines.push(
    ...notesOf(
      hosts.map(({ readiness }) => readiness.command_notes),
      width,
    ),
  );
  return `${lines.map(visibleText).join('\n')}\n`;
}

export function groupsTable(groups: readonly ReadinessGroup[], by: string, columns: number): string {
  if (groups.length === 0) return 'No host has reported yet.\n';
  const width = widthOf(columns);
  const nameWidth = width - 66;
  const titles = VERDICTS.map((verdict) => verdict.toUpperCase().padStart(8)).join(' ');
  const heading = fit(visibleText(by.toUpperCase()), nameWidth);
  const lines = [`${heading}  ${'HOSTS'.padStart(5)} ${titles}`];
  for (const { value, hosts, verdicts, command } of groups) {
    const counts = VERDICTS.map((verdict) => `${verdicts[verdict]}`.padStart(8)).join(' ');
    const name = fit(value === null ? '(not known)' : visibleText(value), nameWidth);
    lines.push(`${name}  ${`${hosts}`.padStart(5)} ${counts}`);
    if (command !== null) lines.push(...command.split('\n').map((line) => `${INDENT}$ ${visibleText(line)}`));
  }
  lines.push(
    ...notesOf(
      groups.map(({ command_notes }) => command_notes),
      width,
    ),
  );
  return `${lines.map(visibleText).join('\n')}\n`;
}

/** Returns each note on the commands once, below the table. */
function notesOf(notes: readonly (readonly string[])[], width: number): string[] {
  const distinct = [...new Set(notes.flat())];
  return distinct.length === 0
    ? []
    : [
        '',
        'Before you run the commands:',
        ...distinct.flatMap((note) => wrap(`- ${visibleText(note)}`, width)),
      ];
}

function nameOf({ id, name }: Host): string {
  return visibleText(name === id ? id : `${name} (${id})`);
}

function widthOf(columns: number): number {
  return Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns));
}

/** Returns exactly `width` characters: the text is padded or cut. */
function fit(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text.padEnd(width) : `${characters.slice(0, width - 1).join('')}…`;
}

/** Breaks a text into lines at its spaces. A word that is longer than a line is cut. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if ([...joined].length <= width) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    let rest = [...word];
    while (rest.length > width) {
      lines.push(rest.slice(0, width).join(''));
      rest = rest.slice(width);
    }
    line = rest.join('');
  }
  return line === '' ? lines : [...lines, line];
}
