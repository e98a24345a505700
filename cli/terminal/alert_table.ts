/** Prints alert destinations as a table for the terminal. */
import { alertRule } from '../../collector/contract/alert.ts';
import type { Destination, DestinationOwners, UnroutedAlerts } from '../../collector/contract/destination.ts';
import { columnsOf } from './text_width.ts';
import { visibleText } from './visible_text.ts';

const HEADINGS = ['NAME', 'KIND', 'TARGET', 'STREAM', 'WAITING', 'LAST DELIVERED'];

/** Says how far a stream was sent, and what was not. */
function progressNotes({ progress }: Destination): string[] {
  if (progress === null) return [];
  const { since, behind, oldest, deleted, unfit, warning } = progress;
  const at = (time: string) => time.slice(0, 16).replace('T', ' ');
  return [
    ...(since === null ? ['the stream begins within some seconds, while a collector runs'] : []),
    ...(behind > 0 && oldest !== null ? [`${behind} records wait, the first since ${at(oldest)}`] : []),
    ...(deleted > 0 ? [`${deleted} records were deleted before they could be sent`] : []),
    ...(unfit > 0 ? [`${unfit} records have no form in this shape`] : []),
    ...(warning === null ? [] : [`warning: ${warning}`]),
  ];
}

export function destinationTable(destinations: readonly Destination[]): string {
  if (destinations.length === 0) return 'There are no alert destinations. Add one: "imdswatch alert add".\n';
  const rows = destinations.map(
    ({ name, enabled, kind, preset, target, stream, rules, waiting, progress, last_delivered: last }) =>
      [
        enabled ? name : `${name} (off)`,
        preset ?? kind,
        target,
        stream !== 'alerts' || rules.length === alertRule.options.length ? stream : rules.join(','),
        String(progress?.behind ?? waiting),
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
    const { owners } = destinations[index]!;
    if (owners !== null) lines.push(visibleText(`    only alerts of ${ownersText(owners)}`));
    for (const note of progressNotes(destinations[index]!)) lines.push(visibleText(`    ${note}`));
    const { given_up: count, last_given_up: at, given_up_reason: reason } = destinations[index]!;
    if (count === 0 || at === null) continue;
    const when = at.slice(0, 16).replace('T', ' ');
    lines.push(visibleText(`    given up: ${count}, last at ${when}: ${reason ?? ''}`));
  }
  return `${lines.join('\n')}\n`;
}

function ownersText({ patterns, unowned }: DestinationOwners): string {
  return [...patterns, ...(unowned ? ['nobody (no owner)'] : [])].join(', ');
}

/** Says how many alerts were for no destination; empty where there was none. */
export function unroutedText({ count, last, title, owner }: UnroutedAlerts): string {
  if (count === 0) return '';
  const about = owner === null ? 'without an owner' : `of ${owner}`;
  const when = last?.slice(0, 16).replace('T', ' ') ?? '';
  return visibleText(
    `${count} ${count === 1 ? 'alert was' : 'alerts were'} for no destination, because all that want them are limited to other owners. The last, at ${when}, was ${about}: ${title ?? ''}. Add a destination with --unowned, or one without --owner.`,
  ).concat('\n');
}
