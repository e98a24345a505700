/** A campaign's result as people read it, and whether it passed. */
import type { CampaignResult } from './campaign.ts';
import type { Table } from './judge.ts';

const MOST_SHOWN = 20;

/** A collector that is started on a full disk says so and ends, as documented. */
const FULL_DISK = /disk is full|ENOSPC|no space left/i;

/** Nothing unexplained, nothing twice, nothing taken for another version, and no process ended by itself. */
export function hasPassed({ whole, rolledUp: { single, sums }, surprises }: CampaignResult): boolean {
  if (surprises.some((surprise) => !FULL_DISK.test(surprise))) return false;
  const isClean = (table: Table) =>
    table.unexplained.length + table.twice.length + table.misjudged.length === 0 && table.stored > 0;
  return isClean(whole) && isClean(single) && sums.unexplained === 0 && sums.surplus === 0;
}

export function tableOf(result: CampaignResult): string {
  const { whole, rolledUp } = result;
  const { single, sums } = rolledUp;
  const row = (name: string, ...cells: (string | number)[]) =>
    [name.padEnd(22), ...cells.map((cell) => String(cell).padStart(12))].join('');
  return [
    row('', 'every call', 'IMDSv1 one', 'IMDSv2'),
    row('', 'one by one', 'by one', 'rolled up'),
    row('answered', whole.answered, single.answered, sums.answered),
    row('stored', whole.stored, single.stored, sums.counted),
    row('of them in a gap', whole.stored_in_gap, single.stored_in_gap, '–'),
    row('twice', whole.twice.length, single.twice.length, sums.surplus),
    row('other version', whole.misjudged.length, single.misjudged.length, '–'),
    row('missing, in a gap', whole.in_gap, single.in_gap, sums.missing - sums.unexplained),
    row('missing, overflow', whole.overflowed, single.overflowed, '–'),
    row('unexplained', whole.unexplained.length, single.unexplained.length, sums.unexplained),
  ].join('\n');
}

export function detailsOf({ explanations, surprises, verdicts, whole, gapTimes }: CampaignResult): string {
  const lines = verdicts.map((verdict) => verdict.slice(0, 120));
  for (const { hostId, reasons } of gapTimes) {
    const each = reasons.map(
      ({ reason, count, ms, percent }) => `${reason} ${count} (${(ms / 1000).toFixed(1)} s, ${percent} %)`,
    );
    lines.push(`gaps of ${hostId}: ${each.join(', ')}`);
  }
  for (const surprise of surprises.slice(0, MOST_SHOWN)) lines.push(surprise);
  for (const explanation of explanations.slice(0, MOST_SHOWN)) lines.push(`unexplained: ${explanation}`);
  if (explanations.length > MOST_SHOWN) lines.push(`… and ${explanations.length - MOST_SHOWN} more`);
  if (whole.twice.length > 0) lines.push(`twice: ${whole.twice.slice(0, MOST_SHOWN).join(', ')}`);
  if (whole.misjudged.length > 0)
    lines.push(`other version: ${whole.misjudged.slice(0, MOST_SHOWN).join(', ')}`);
  return lines.join('\n');
}

/** Returns what each kind of fault cost: calls from its begin to the next fault's, one by one or as IMDSv1. */
export function sharesTable({ shares }: CampaignResult): string {
  const row = (name: string, ...cells: (string | number)[]) =>
    [name.padEnd(22), ...cells.map((cell) => String(cell).padStart(12))].join('');
  return [
    row('since a fault of', 'faults', 'missing', 'stored'),
    row('', '', 'in a gap', 'in a gap'),
    ...shares.map(({ kind, faults, missing, stored }) => row(kind, faults, missing, stored)),
  ].join('\n');
}
