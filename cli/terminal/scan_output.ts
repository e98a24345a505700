/** Shows a scan: the report in the wanted form on stdout, and progress on a terminal. */
import { maskText } from '../../agent/secrets/mask.ts';
import { VERSION } from '../../common/version.ts';
import { githubReport, jsonReport, junitReport, markdownReport } from '../../scan/report/other_formats.ts';
import { makeReport, type Report } from '../../scan/report/reported.ts';
import { sarifLog } from '../../scan/report/sarif.ts';
import { textReport } from '../../scan/report/text_report.ts';
import type { Scanned } from '../../scan/scan.ts';
import { visibleJson, visibleText } from './visible_text.ts';

export const SCAN_FORMATS = ['table', 'json', 'sarif', 'junit', 'github', 'markdown'] as const;
export type ScanFormat = (typeof SCAN_FORMATS)[number];

const MAX_COLUMNS = 120;
const MIN_COLUMNS = 60;
const PROGRESS_INTERVAL_MS = 100;

/** Leaves out what `known` has. Paths and code come from outside: they are made visible, and secrets in code masked. */
export function scanReport(scanned: Scanned, known: ReadonlySet<string>): Report {
  return makeReport(scanned, (path) => scanned.open(path), known, shownCode);
}

/** The setting that a scan is about is named like a secret, and its value is none. */
const TOKENS_SETTING = /(http_?tokens["']?\s*[=:]\s*["']?[\w.${}-]*["']?)/i;

/** Tabs stay. */
function shownCode(line: string): string {
  const masked = line
    .split(TOKENS_SETTING)
    .map((part, index) => (index % 2 === 1 ? part : maskText(part)))
    .join('');
  return masked.split('\t').map(visibleText).join('\t');
}

/** Returns the text for stdout. */
export function formatScan(
  report: Report,
  format: ScanFormat,
  columns: number | undefined,
  colour: boolean,
): string {
  switch (format) {
    case 'json':
      return `${visibleJson(jsonReport(report), 2)}\n`;
    case 'sarif':
      return `${visibleJson(sarifLog(report, VERSION), 2)}\n`;
    case 'junit':
      return junitReport(report);
    case 'github':
      return githubReport(withVisibleText(report));
    case 'markdown':
      return markdownReport(withVisibleText(report));
    case 'table':
      return textReport(withVisibleText(report), {
        colour,
        width: Math.min(MAX_COLUMNS, Math.max(MIN_COLUMNS, columns ?? MIN_COLUMNS * 2)),
      });
  }
}

/** Makes the texts that come from scanned files safe for a terminal. Line breaks of remedies stay. */
function withVisibleText(report: Report): Report {
  const lines = (text: string) => text.split('\n').map(visibleText).join('\n');
  return {
    ...report,
    findings: report.findings.map((one) => ({
      ...one,
      finding: {
        ...one.finding,
        path: visibleText(one.finding.path),
        subject: visibleText(one.finding.subject),
        message: visibleText(one.finding.message),
        remedy: lines(one.finding.remedy),
        evidence: one.finding.evidence.map((step) => ({
          ...step,
          subject: visibleText(step.subject),
          says: visibleText(step.says),
          ...(step.path === undefined ? {} : { path: visibleText(step.path) }),
        })),
      },
    })),
    problems: report.problems.map((problem) => ({
      ...problem,
      path: visibleText(problem.path),
      message: visibleText(problem.message),
    })),
  };
}

/** Shows on a terminal how far a scan is. Elsewhere it writes nothing. */
export class ScanProgress {
  readonly #stream: NodeJS.WriteStream;
  readonly #now: () => number;
  #last = 0;
  #isShown = false;

  constructor(stream: NodeJS.WriteStream, now: () => number) {
    this.#stream = stream;
    this.#now = now;
  }

  show(done: number, total: number): void {
    if (!this.#stream.isTTY || this.#now() - this.#last < PROGRESS_INTERVAL_MS) return;
    this.#last = this.#now();
    this.#isShown = true;
    this.#stream.write(`\r\x1b[Kscanned ${done} of ${total} files`);
  }

  clear(): void {
    if (this.#isShown) this.#stream.write('\r\x1b[K');
  }
}
