/** Prints offenders as a table: a line of counts for each, and below it lines that say what it did. */
import type { Offender } from '../../collector/contract/offender.ts';
import { triageTexts } from './triage_text.ts';
import { visibleText } from './visible_text.ts';

const MIN_COLUMNS = 80;
const MAX_COLUMNS = 120;
const RED = '\u001b[31;1m';
const DIM = '\u001b[2m';
const RESET = '\u001b[0m';

interface Column {
  title: string;
  width: number;
  right?: boolean;
  textOf: (offender: Offender) => string;
}

const COLUMNS: readonly Column[] = [
  {
    title: 'USER',
    width: 8,
    textOf: (offender) => offender.user ?? (offender.uid === null ? '-' : `${offender.uid}`),
  },
  { title: 'V1', width: 6, right: true, textOf: (offender) => `${offender.calls_v1}` },
  { title: 'V2', width: 6, right: true, textOf: (offender) => `${offender.calls_v2}` },
  // The number of times that credentials were sent over IMDSv1.
  { title: 'CREDS', width: 5, right: true, textOf: (offender) => `${offender.credentials_over_v1}` },
  { title: 'HOSTS', width: 5, right: true, textOf: (offender) => `${offender.host_count}` },
  { title: 'SEEN (UTC)', width: 11, textOf: (offender) => offender.last_seen.slice(5, 16).replace('T', ' ') },
];
const GAP = '  ';
const INDENT = '    ';

export function offendersTable(
  offenders: Offender[],
  { columns, colour, all }: { columns: number; colour: boolean; all: boolean },
): string {
  if (offenders.length === 0) {
    return all
      ? 'No calls are stored for this time.\n'
      : 'No caller used IMDSv1 in this time. --all also lists callers that use only IMDSv2.\n';
  }
  const width = Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns));
  const callerWidth = width - COLUMNS.reduce((sum, column) => sum + column.width + GAP.length, 0);
  const lines = [row('CALLER'.padEnd(callerWidth), (column) => column.title)];
  for (const offender of offenders) {
    const caller = callerOf(offender);
    const line = row(fit(caller, callerWidth), (column) => column.textOf(offender));
    const serious = offender.credentials_over_v1 > 0;
    lines.push(colour && serious ? `${RED}${line}${RESET}` : line);
    const wasCut = [...caller].length > callerWidth;
    const details = wasCut ? [caller, ...detailsOf(offender)] : detailsOf(offender);
    for (const detail of wrap(details, width - INDENT.length)) {
      lines.push(colour ? `${INDENT}${DIM}${detail}${RESET}` : `${INDENT}${detail}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

function row(caller: string, cell: (column: Column) => string): string {
  const cells = COLUMNS.map((column) => fit(visibleText(cell(column)), column.width, column.right));
  return [caller, ...cells].join(GAP).trimEnd();
}

function callerOf(offender: Offender): string {
  if (!offender.attributed) return `(unattributed) from ${visibleText(offender.source_address ?? '?')}`;
  const program = offender.executable ?? (offender.name === null ? offender.title : `(${offender.name})`);
  return visibleText(offender.script === null ? program : `${program} ${offender.script}`);
}

/** Says which helpers called for a workload, and who started them where that is no program. */
function helpersOf({ helpers, started_by, releases }: Offender): string[] {
  const details: string[] = [];
  if (helpers.length > 0) details.push(`by ${helpers.map(visibleText).join(', ')}`);
  if (started_by === 'session') details.push('in a session of a person');
  if (started_by === 'unknown') details.push('started by a program that had ended before it could be read');
  const named = releases.filter(({ release }) => release !== null);
  if (named.length > 1) {
    const each = named.map(({ release, calls_v1 }) => `${visibleText(release!)} (${calls_v1} v1)`);
    details.push(`releases: ${each.join(', ')}`);
  }
  return details;
}

function detailsOf(offender: Offender): string[] {
  const details: string[] = [...workloadOf(offender), ...helpersOf(offender)];
  const { fallbacks } = offender;
  const roles = offender.roles_v1.map(visibleText).join(', ');
  if (offender.credentials_over_v1 > 0) details.push(`got credentials over IMDSv1${roles && ` (${roles})`}`);
  else if (offender.credentials_over_v1_attempts > 0) {
    details.push(
      `requested credentials over IMDSv1 ${times(offender.credentials_over_v1_attempts)} and got none`,
    );
  }
  if (offender.rejected_v1 > 0) details.push(`${offender.rejected_v1} IMDSv1 calls refused with 401`);
  if (offender.adapted_v1 > 0) {
    details.push(`was refused with 401 ${times(offender.adapted_v1)}, then took a token and succeeded`);
  }
  if (offender.refused_tokens > 0) {
    details.push(`its token is refused: 401 with a token ${times(offender.refused_tokens)}`);
  }
  if (offender.other_cloud_calls > 0) {
    details.push(`looked for another cloud ${times(offender.other_cloud_calls)}`);
  }
  if (fallbacks.token_unanswered > 0) {
    details.push(
      `fell back to IMDSv1 ${times(fallbacks.token_unanswered)}: its token request got no answer (hop limit)`,
    );
  }
  if (fallbacks.token_refused > 0) {
    details.push(`fell back to IMDSv1 ${times(fallbacks.token_refused)}: its token request was refused`);
  }
  const categories = Object.entries(offender.categories_v1).sort((a, b) => b[1] - a[1]);
  if (categories.length > 0) {
    details.push(`v1: ${categories.map(([category, count]) => `${category} ${count}`).join(', ')}`);
  }
  if (offender.hosts.length > 0) {
    const names = offender.hosts.slice(0, 3).map(({ name }) => visibleText(name));
    const more = offender.host_count - names.length;
    details.push(`on ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}`);
  }
  const userAgent = offender.user_agents[0];
  if (userAgent !== undefined) details.push(visibleText(userAgent));
  details.push(...triageTexts(offender.triage));
  if (offender.advice_kind !== 'none') details.push(`→ ${visibleText(offender.advice_headline)}`);
  return details;
}

/** Returns the workload of an offender: its pod, else its image, else its unit. */
function workloadOf(offender: Offender): string[] {
  const { k8s_namespace, k8s_container, container_image, systemd_unit } = offender;
  if (k8s_namespace !== null || k8s_container !== null) {
    return [`pod container ${visibleText(`${k8s_namespace ?? '?'}/${k8s_container ?? '?'}`)}`];
  }
  if (container_image !== null) return [`image ${visibleText(container_image)}`];
  return systemd_unit === null ? [] : [`unit ${visibleText(systemd_unit)}`];
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

/** Returns exactly `width` characters: the text is padded, or a part in its middle is left out. */
function fit(text: string, width: number, right = false): string {
  const characters = [...text];
  if (characters.length <= width) return right ? text.padStart(width) : text.padEnd(width);
  const head = Math.floor((width - 1) / 3);
  return `${characters.slice(0, head).join('')}…${characters.slice(head + 1 - width).join('')}`;
}

/** Joins parts with a dot into lines of at most `width` characters. A part that is longer is shortened. */
function wrap(parts: string[], width: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const short = [...part].length > width ? fit(part, width) : part;
    const last = lines.at(-1);
    if (last !== undefined && [...last].length + 3 + [...short].length <= width) {
      lines[lines.length - 1] = `${last} · ${short}`;
    } else {
      lines.push(short);
    }
  }
  return lines;
}
