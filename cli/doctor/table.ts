/** Prints the results of doctor as a table: a line for each finding, and below it what to do. */
import { cutToColumns } from '../terminal/text_width.ts';
import { visibleText } from '../terminal/visible_text.ts';
import type { CheckResult } from './all_checks.ts';
import type { Status } from './check.ts';

const MIN_COLUMNS = 60;
const MAX_COLUMNS = 130;
const WORDS: Record<Status, string> = { ok: 'OK', warn: 'WARN', fail: 'FAIL', skip: '-' };
/** SGR parameters (ECMA-48, section 8.3.117): green, yellow, bold red, dim. */
const COLOURS: Record<Status, string> = { ok: '32', warn: '33', fail: '1;31', skip: '2' };
const TITLES = { agent: 'Agent', collector: 'Collector' };

export function doctorTable(results: readonly CheckResult[], columns: number, isColoured: boolean): string {
  const width = Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns));
  const nameWidth = Math.max(0, ...results.map(({ check }) => check.length));
  const indent = 2 + 4 + 2 + nameWidth + 2;
  const lines: string[] = [];
  let part: CheckResult['part'] | null = null;
  let check = '';
  for (const finding of results) {
    if (finding.part !== part) {
      lines.push(...(part === null ? [] : ['']), TITLES[finding.part]);
      part = finding.part;
      check = '';
    }
    const word = paint(WORDS[finding.status].padEnd(4), COLOURS[finding.status], isColoured);
    const name = (finding.check === check ? '' : finding.check).padEnd(nameWidth);
    check = finding.check;
    const [first = '', ...rest] = wrap(visibleText(finding.text), width - indent);
    lines.push(`  ${word}  ${name}  ${first}`, ...rest.map((line) => ' '.repeat(indent) + line));
    if (finding.remedy === null) continue;
    const remedy = wrap(visibleText(finding.remedy), width - indent - 2);
    lines.push(...remedy.map((line, at) => `${' '.repeat(indent)}${at === 0 ? '→' : ' '} ${line}`));
  }
  const count = (status: Status) => results.filter((finding) => finding.status === status).length;
  lines.push(
    '',
    `${count('ok')} ok, ${count('warn')} warnings, ${count('fail')} failed, ${count('skip')} not checked`,
  );
  return `${lines.join('\n')}\n`;
}

function paint(text: string, colour: string, isColoured: boolean): string {
  return isColoured ? `\x1b[${colour}m${text}\x1b[0m` : text;
}

/** Breaks a text into lines at its spaces. A word that is longer than a line is cut. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
    while (line.length > width) {
      const head = cutToColumns(line, width);
      lines.push(head);
      line = line.slice(head.length);
    }
  }
  return line === '' ? lines : [...lines, line];
}
