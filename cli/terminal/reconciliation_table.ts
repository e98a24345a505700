/** Prints the cloud's counts beside the agents' counts, one line for each host. */
import type { Reconciliation } from '../../collector/contract/cloud.ts';
import { visibleText } from './visible_text.ts';

const RESULTS: Record<Reconciliation['result'], string> = {
  agrees: 'agrees',
  cloud_saw_more: 'CLOUD SAW MORE',
  we_saw_more: 'agents saw more',
};

export function reconciliationTable(reconciliations: readonly Reconciliation[]): string {
  if (reconciliations.length === 0) return 'None of the counts can be compared with the calls of an agent.\n';
  const lines = [row('HOST', 'RESULT', 'CLOUD', 'SEEN', 'UNSEEN', 'HOURS')];
  for (const { id, name, result, metadata_no_token, seen_no_token, unseen, hours } of reconciliations) {
    const host = visibleText(name === null ? `${id} (never reported)` : name === id ? id : `${name} (${id})`);
    lines.push(
      row(host, RESULTS[result], `${metadata_no_token}`, `${seen_no_token}`, `${unseen}`, `${hours}`),
    );
  }
  return `${lines.map(visibleText).join('\n')}\n`;
}

function row(host: string, result: string, ...counts: string[]): string {
  return [host.padEnd(40), result.padEnd(15), ...counts.map((count) => count.padStart(8))].join('  ');
}
