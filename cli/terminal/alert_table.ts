/** Prints alert destinations as a table for the terminal. */
import { alertRule } from '../../collector/contract/alert.ts';
import type { Destination } from '../../collector/contract/destination.ts';
import { columnsOf } from './text_width.ts';
import { visibleText } from './visible_text.ts';

const HEADINGS = ['NAME', 'KIND', 'TARGET', 'RULES', 'WAITING', 'LAST DELIVERED'];

export function destinationTable(destinations: readonly Destination[]): string {
  if (destinations.length === 0) return 'There are no alert destinations. Add one: "imdswatch alert add".\n';
  const rows = destinations.map(
    ({ name, enabled, kind, preset, target, rules, waiting, last_delivered: last }) =>
      [
        enabled ? name : `${name} (off)`,
        preset ?? kind,
        target,
        rules.length === alertRule.options.length ? 'all' : rules.join(','),
        String(waiting),
        last === null ? 'never' : last.slice(0, 16).replace('T', ' '),
      ].map(visibleText),
  );
  const widths = HEADINGS.map((heading, column) =>
    Math.max(heading.length, ...rows.map((cells) => columnsOf(cells[column]!))),
  );
  const line = (cells: string[]) =>
    cells
      .map((cell, column) => cell + ' '.repeat(widths[column]! - columnsOf(cell)))
      .join('  ')
      .trimEnd();
  const lines = [line(HEADINGS)];
  for (const [index, cells] of rows.entries()) {
    lines.push(line(cells));
    const error = destinations[index]!.last_error;
    if (error !== null) lines.push(`    last error: ${visibleText(error)}`);
    const { given_up: count, last_given_up: at, given_up_reason: reason } = destinations[index]!;
    if (count === 0 || at === null) continue;
    const when = at.slice(0, 16).replace('T', ' ');
    lines.push(visibleText(`    given up: ${count}, last at ${when}: ${reason ?? ''}`));
  }
  return `${lines.join('\n')}\n`;
}
