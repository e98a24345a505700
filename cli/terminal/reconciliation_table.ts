/** The cloud's count held against ours, one line a host. */
import type { Reconciliation } from '../../collector/contract/cloud.ts';
import { visibleText } from './visible_text.ts';

const RESULTS: Record<Reconciliation['result'], string> = {
  agrees: 'agrees',
  cloud_saw_more: 'CLOUD SAW MORE',
  we_saw_more: 'we saw more',
};

export function reconciliationTable(found: readonly Reconciliation[]): string {
  if (found.length === 0) return 'No count is of a time that can be compared.\n';
  const lines = [row('HOST', 'RESULT', 'CLOUD', 'SEEN', 'UNSEEN', 'HOURS')];
  for (const { id, name, result, metadata_no_token, seen_no_token, unseen, hours } of found) {
    const host = visibleText(name === null ? `${id} (never reported)` : name === id ? id : `${name} (${id})`);
    lines.push(
      row(host, RESULTS[result], `${metadata_no_token}`, `${seen_no_token}`, `${unseen}`, `${hours}`),
    );
  }
  return `${lines.map(visibleText).join('\n')}\n`;
}

function row(host: string, result: string, ...counts: string[]): string {
  return [host.padEnd(40), result.padEnd(14), ...counts.map((count) => count.padStart(8))].join('  ');
}
