/** Findings as reports show them: with a fingerprint, and with the lines of code. */
import { createHash } from 'node:crypto';
import type { Finding, Problem, ScanResult } from '../finding.ts';
import type { Range, SourceFile } from '../source_file.ts';

export interface CodeLine {
  number: number;
  text: string;
  /** Columns of the marked part, from 0; null where the line is only shown around it. */
  marked: { from: number; to: number } | null;
}

export interface ReplacedRange {
  path: string;
  range: Range;
  text: string;
}

export interface ReportedFinding {
  finding: Finding;
  /** 32 hexadecimal digits. Stays the same when lines move. */
  fingerprint: string;
  code: CodeLine[];
  /** Edits of the fix, with positions. */
  replacements: ReplacedRange[];
}

export interface Report {
  findings: ReportedFinding[];
  problems: Problem[];
  counts: ScanResult['counts'] & { known: number };
}

const CONTEXT_LINES = 1;
const MAX_LINES = 6;
const MAX_LINE = 200;

/**
 * Fingerprints are SHA-256 of rule, path, subject and identity. Findings that are equal in all of these are
 * numbered in the order of their places.
 */
export function fingerprints(findings: readonly Finding[]): string[] {
  const counts = new Map<string, number>();
  return findings.map(({ rule, path, subject, identity }) => {
    const key = JSON.stringify([rule, path, subject, identity]);
    const number = counts.get(key) ?? 0;
    counts.set(key, number + 1);
    return createHash('sha256').update(`${key} ${number}`).digest('hex').slice(0, 32);
  });
}

/**
 * `known` are fingerprints of a baseline: their findings are counted and left out. `shown` makes a line of code
 * fit to be printed; it may shorten it.
 */
export function makeReport(
  { findings, problems, counts }: ScanResult,
  open: (path: string) => SourceFile | null,
  known: ReadonlySet<string>,
  shown: (line: string) => string,
): Report {
  const all = fingerprints(findings);
  const reported: ReportedFinding[] = [];
  for (const [index, finding] of findings.entries()) {
    const fingerprint = all[index]!;
    if (known.has(fingerprint)) continue;
    const file = open(finding.path);
    reported.push({
      finding,
      fingerprint,
      code: file === null ? [] : codeLines(file, finding.range, shown),
      replacements: (finding.fix?.edits ?? []).flatMap(({ path, start, end, text }) => {
        const edited = open(path);
        return edited === null ? [] : [{ path, range: edited.range(start, end), text }];
      }),
    });
  }
  return { findings: reported, problems, counts: { ...counts, known: findings.length - reported.length } };
}

function codeLines(file: SourceFile, { start, end }: Range, shown: (line: string) => string): CodeLine[] {
  const first = Math.max(1, start.line - CONTEXT_LINES);
  const last = Math.min(file.lineCount, end.line + CONTEXT_LINES, first + MAX_LINES - 1);
  const lines: CodeLine[] = [];
  for (let number = first; number <= last; number++) {
    const whole = file.line(number);
    const isMarked = number >= start.line && number <= end.line;
    // A very long line is shown around the marked part.
    const from = isMarked && number === start.line ? start.column - 1 : 0;
    const to = isMarked && number === end.line ? end.column - 1 : whole.length;
    const cut = from > MAX_LINE / 2 && whole.length > MAX_LINE ? from - MAX_LINE / 4 : 0;
    const before = shown(whole.slice(cut, from));
    const part = shown(whole.slice(from, Math.min(to, cut + MAX_LINE)));
    const behind = shown(
      whole.slice(Math.max(from, Math.min(to, cut + MAX_LINE)), Math.max(to, cut + MAX_LINE)),
    );
    const text = isMarked ? before + part + behind : shown(whole.slice(0, MAX_LINE));
    lines.push({
      number,
      text,
      marked: isMarked ? { from: before.length, to: before.length + part.length } : null,
    });
  }
  return lines;
}
