/** Writes the report for people: the code with the place marked, why, and the fix. */
import type { Level } from '../level.ts';
import { summary } from './other_formats.ts';
import type { Report, ReportedFinding } from './reported.ts';

const COLOURS: Record<Level, number> = { error: 31, warning: 33, note: 36 };

/** `width` is that of the terminal; longer sentences are wrapped. */
export function textReport(
  { findings, problems, counts }: Report,
  { colour, width }: { colour: boolean; width: number },
): string {
  const paint = (code: number, text: string) => (colour ? `\x1b[${code}m${text}\x1b[0m` : text);
  const blocks = findings.map((one) => block(one, paint, width));
  const unread = problems.map(
    ({ path, range, message }) =>
      `${paint(33, 'not scanned')}  ${path}${range === undefined ? '' : `:${range.start.line}:${range.start.column}`}\n${wrap(message, width)}`,
  );
  return `${[
    ...blocks,
    ...unread,
    summary(
      findings.map(({ finding }) => finding.level),
      counts,
      problems.length,
    ),
  ].join('\n\n')}\n`;
}

function block(
  { finding, code }: ReportedFinding,
  paint: (code: number, text: string) => string,
  width: number,
): string {
  const { level, rule, path, range, subject, message, evidence, remedy, effect, readiness, fix } = finding;
  const lines = [
    `${paint(COLOURS[level], level)}  ${rule}  ${paint(1, `${path}:${range.start.line}:${range.start.column}`)}  ${subject}`,
  ];
  const gutter = String(code.at(-1)?.number ?? 0).length;
  for (const { number, text, marked } of code) {
    lines.push(`  ${String(number).padStart(gutter)} | ${text}`);
    if (marked !== null && marked.to > marked.from) {
      // Tabs stay tabs, so that the marks stand below the text.
      const blanks = text.slice(0, marked.from).replace(/[^\t]/g, ' ');
      lines.push(
        `  ${' '.repeat(gutter)} | ${blanks}${paint(COLOURS[level], '^'.repeat(marked.to - marked.from))}`,
      );
    }
  }
  lines.push(wrap(message, width));
  for (const one of evidence) {
    const place = one.range === undefined ? '' : ` (${one.path}:${one.range.start.line})`;
    lines.push(
      wrap(
        `- ${one.subject} ${one.says}${place}${one.source === undefined ? '' : `, see ${one.source}`}`,
        width,
      ),
    );
  }
  const [step = '', ...rest] = remedy.split('\n');
  lines.push(wrap(`Fix: ${step}`, width), ...rest.map((line) => `    ${line}`));
  if (fix !== undefined) lines.push(wrap(`--fix does this: ${fix.summary}`, width));
  if (effect !== undefined) lines.push(wrap(effect.text, width));
  if (readiness !== undefined) lines.push(wrap(readiness.text, width));
  return lines.join('\n');
}

function wrap(text: string, width: number): string {
  const lines: string[] = [];
  let line = ' ';
  for (const word of text.split(/\s+/)) {
    if (line.length > 2 && line.length + word.length + 1 > width) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}
