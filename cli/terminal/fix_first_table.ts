/** Prints the workloads to fix first, with the hosts that are free after each fix. */
import type { FixFirst } from '../../collector/contract/fix_first.ts';
import { fixFirstSummary, notFreed } from '../../collector/contract/fix_first_text.ts';
import { triageTexts } from './triage_text.ts';
import { visibleText } from './visible_text.ts';

const MIN_COLUMNS = 80;
const COUNTS = ['HOSTS', 'FREES', 'FREE', 'GROUPS'];
const COUNT_COLUMNS = 7;

export function fixFirstTable(answer: FixFirst, columns: number): string {
  const lines = [fixFirstSummary(answer), ...notFreed(answer)];
  if (answer.fixes.length > 0) lines.push('', row('WORKLOAD', COUNTS));
  for (const { title, hosts, frees, freed, freed_groups, triage } of answer.fixes) {
    lines.push(row(visibleText(title), [hosts, frees, freed, freed_groups].map(String)));
    const triaged = triageTexts(triage).join(' · ');
    if (triaged !== '') lines.push(`    ${triaged}`);
  }
  return `${lines.join('\n')}\n`;

  function row(title: string, counts: string[]): string {
    const width = Math.max(MIN_COLUMNS, columns) - COUNTS.length * COUNT_COLUMNS;
    const characters = [...title];
    const cut = characters.length > width ? `…${characters.slice(1 - width).join('')}` : title.padEnd(width);
    return `${cut}${counts.map((count) => count.padStart(COUNT_COLUMNS)).join('')}`;
  }
}
