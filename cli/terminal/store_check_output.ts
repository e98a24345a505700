/** Shows the result of `imdswatch store check`: what was checked, each figure that differs, and what to do then. */
import type { CheckedInvariant, Difference, InvariantName, StoreCheck } from '../../collector/local.ts';
import { comparisonTable } from './transfer_output.ts';
import { visibleText } from './visible_text.ts';

const NUMBER = new Intl.NumberFormat('en-US');
const CLASSES = ['IMDSv2 in all', 'IMDSv1', 'IMDSv2', 'neither IMDSv1 nor IMDSv2'];

/** Says of each invariant what holds, and what its two figures are. */
const TEXTS: Record<InvariantName, { title: string; found: string; expected: string }> = {
  daily: {
    title: 'sums by day are the sums of their hours',
    found: 'calls by day',
    expected: 'calls by hour',
  },
  v2_sums: {
    title: 'IMDSv2 calls of a host are the sum over its workloads',
    found: 'calls of the host',
    expected: 'calls of its workloads',
  },
  fleet_hourly: {
    title: 'hourly sums of the fleet are the sums of its hosts',
    found: 'calls of the fleet',
    expected: 'calls of its hosts',
  },
  fleet_daily: {
    title: 'daily sums of the fleet are the sums of its hosts',
    found: 'calls of the fleet',
    expected: 'calls of its hosts',
  },
  raw_calls: {
    title: 'calls that are kept one by one are in the sums',
    found: 'calls one by one',
    expected: 'calls in the sums',
  },
  call_counts: {
    title: 'the number of calls that are kept is known',
    found: 'calls noted',
    expected: 'calls there',
  },
  call_ids: { title: 'each call of a host is there once', found: 'calls', expected: 'different ids' },
  streams: { title: 'each stream belongs to a host', found: 'hosts', expected: 'expected' },
  partitions: {
    title: 'each partition has the day of its name',
    found: 'with its day',
    expected: 'expected',
  },
};

const REMEDY =
  'A differing figure is a defect of the store, or a change that something else than imdswatch made. Keep the output and a backup of the store, and report it to the project with the log of the collectors. The source of truth are calls and hourly sums by host: the other figures can be worked out again from them. To go back, restore a backup that this command finds equal.\n';
const REMEDY_AGAINST =
  'The two stores differ. If one is a copy of the other, something has changed one of them since: go on with the one that collectors used last. To have an equal copy, empty the target, and run "imdswatch store copy" again.\n';

/** Returns the text for people. */
export function storeCheckText({ place, since, checked, against }: StoreCheck): string {
  const lines = [`Store: ${visibleText(place)}`];
  if (since !== null) {
    lines.push(`Sums are checked from ${since.slice(0, 10)} on. Retention has deleted older ones.`);
  }
  for (const invariant of checked) lines.push(...invariantLines(invariant));
  let text = lines.map((line) => `${line}\n`).join('');
  if (checked.some(({ different }) => different > 0)) text += REMEDY;
  if (against === null) return text;
  text += `\nCompared with ${visibleText(against.place)}:\n${comparisonTable(against.tables)}`;
  return against.tables.every(({ isSame }) => isSame) ? text : text + REMEDY_AGAINST;
}

function invariantLines({ name, table, different, differences }: CheckedInvariant): string[] {
  const { title, found, expected } = TEXTS[name];
  if (different === 0) return [`equal      ${title}`];
  const lines = differences.map(
    (each) =>
      `             ${whereOf(each)}${NUMBER.format(each.found)} ${found}, ${NUMBER.format(each.expected)} ${expected}`,
  );
  if (different > differences.length) {
    lines.push(`             and ${NUMBER.format(different - differences.length)} more`);
  }
  return [`DIFFERENT  ${title} (table ${table}: ${NUMBER.format(different)} differ)`, ...lines];
}

function whereOf({ hour, day, host, name, class: kindClass, workload, kind }: Difference): string {
  const parts = [
    hour === null ? null : `${hour.slice(0, 16)}Z`,
    day,
    host === null ? null : `host ${host}`,
    name,
    kindClass === null ? null : `class ${kindClass} (${CLASSES[kindClass] ?? 'unknown'})`,
    workload === null ? null : `workload ${workload}`,
    kind === null ? null : `kind ${kind}`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? '' : `${visibleText(parts.join(', '))}: `;
}
