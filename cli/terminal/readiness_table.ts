/** Prints readiness as tables: a line for each host, and below it the reason and the next step. */
import type { Host, Readiness } from '../../collector/contract/host.ts';
import { fit, INDENT, notesOf, widthOf, wrap } from './lines.ts';
import { visibleText } from './visible_text.ts';

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

function nameOf({ id, name }: Host): string {
  return visibleText(name === id ? id : `${name} (${id})`);
}
