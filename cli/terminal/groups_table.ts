/**
 * Prints groups as tables: a line for each one, and below it the reason. One group alone has all that is
 * missing.
 */
import type { Group, GroupDetail } from '../../collector/contract/group.ts';
import { fit, INDENT, notesOf, widthOf, wrap } from './lines.ts';
import { visibleText } from './visible_text.ts';

const MAX_INSTANCES = 20;

export function groupsTable(groups: readonly Group[], by: string, columns: number): string {
  if (groups.length === 0) {
    return `No instance of the window has ${visibleText(by)}. It comes from the tags that agents see, and from the cloud's inventory.\n`;
  }
  const width = widthOf(columns);
  const nameWidth = width - 44;
  const lines = [
    `${fit(visibleText(by.toUpperCase()), nameWidth)}  VERDICT   WATCHED        RUNNING       V1`,
  ];
  for (const group of groups) {
    const cells = [
      fit(visibleText(group.value), nameWidth),
      group.verdict.padEnd(8),
      `${group.watched} of ${group.members}`.padEnd(13),
      `${group.running}`.padStart(7),
      `${group.calls_v1}`.padStart(6),
    ];
    lines.push(cells.join('  ').trimEnd());
    lines.push(...indented(group.reason, width));
  }
  return textOf(lines);
}

export function groupText(group: GroupDetail, columns: number): string {
  const width = widthOf(columns);
  const lines = [`${group.id}: ${group.verdict}`, ...indented(group.reason, width)];
  const section = (title: string, texts: readonly string[]) => {
    if (texts.length === 0) return;
    lines.push('', `${title}:`, ...texts.flatMap((text) => wrap(`- ${visibleText(text)}`, width)));
  };
  section(
    'Missing',
    group.problems.map(
      ({ text, examples }) =>
        `${text}${examples.length === 0 ? '' : ` (${examples.map(({ name }) => name).join(', ')})`}`,
    ),
  );
  section(
    'Callers',
    group.offenders.map(({ title, hosts, calls_v1 }) => `${title}: ${calls_v1} calls on ${hosts} instances`),
  );
  section(
    'Starts seen of what is launched now',
    group.starts.map(
      ({ launcher, image_id, template_version, seen, needed }) =>
        `${launcher}, image ${image_id ?? 'not known'}, template version ${template_version ?? 'none'}: ${seen} of ${needed}`,
    ),
  );
  section('Not ruled out', group.limits);
  lines.push('', `${group.members} instances of the window, ${group.running} of them run:`);
  for (const { name, id, state, is_running } of group.instances.slice(0, MAX_INSTANCES)) {
    const shown = name === id ? id : `${name} (${id})`;
    lines.push(
      `${INDENT}${fit(visibleText(shown), width - 32)}  ${state.padEnd(16)}  ${is_running ? 'runs' : 'gone'}`,
    );
  }
  const more = group.members - Math.min(MAX_INSTANCES, group.instances.length);
  if (more > 0) lines.push(`${INDENT}and ${more} more. --json lists the first 1,000.`);
  if (group.command !== null) {
    lines.push('', 'Its running hosts that are ready by themselves:');
    lines.push(...group.command.split('\n').map((line) => `${INDENT}$ ${visibleText(line)}`));
    lines.push(...notesOf([group.command_notes], width));
  }
  return textOf(lines);
}

function indented(text: string, width: number): string[] {
  return wrap(visibleText(text), width - INDENT.length).map((line) => INDENT + line);
}

function textOf(lines: readonly string[]): string {
  return `${lines.map(visibleText).join('\n')}\n`;
}
