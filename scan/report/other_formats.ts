/** Writes reports for machines and services: our JSON, JUnit, workflow commands, Markdown. */
import type { Level } from '../level.ts';
import type { Report } from './reported.ts';

/** The JSON of a scan: findings with fingerprints, problems, counts. */
export function jsonReport({ findings, problems, counts }: Report): object {
  return {
    version: 1,
    findings: findings.map(({ finding, fingerprint }) => ({ fingerprint, ...finding })),
    problems,
    counts,
  };
}

/** JUnit XML as test reporters read it: one suite for each file, one failed case for each finding. */
export function junitReport({ findings, problems }: Report): string {
  const suites = [...Map.groupBy(findings, ({ finding }) => finding.path)].map(([path, members]) => {
    const cases = members.map(({ finding }) => {
      const { rule, level, subject, message, remedy, range } = finding;
      const name = `${rule} ${subject} (line ${range.start.line})`;
      const text = `${path}:${range.start.line}:${range.start.column}\n${message}\n${remedy}`;
      return `    <testcase name="${xml(name)}" classname="${xml(path)}" file="${xml(path)}" line="${range.start.line}"><failure type="${level}" message="${xml(message)}">${xml(text)}</failure></testcase>`;
    });
    return `  <testsuite name="${xml(path)}" tests="${cases.length}" failures="${cases.length}" errors="0">\n${cases.join('\n')}\n  </testsuite>`;
  });
  if (problems.length > 0) {
    const cases = problems.map(
      ({ path, message }) =>
        `    <testcase name="${xml(path)}" classname="not scanned"><error message="${xml(message)}"/></testcase>`,
    );
    suites.push(
      `  <testsuite name="not scanned" tests="${cases.length}" failures="0" errors="${cases.length}">\n${cases.join('\n')}\n  </testsuite>`,
    );
  }
  // Readers of JUnit take a run without a case for one that failed to start.
  if (suites.length === 0)
    suites.push(
      '  <testsuite name="imdswatch scan" tests="1" failures="0" errors="0">\n    <testcase name="no findings" classname="imdswatch scan"/>\n  </testsuite>',
    );
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="imdswatch scan" tests="${Math.max(1, findings.length + problems.length)}" failures="${findings.length}" errors="${problems.length}">\n${suites.join('\n')}\n</testsuites>\n`;
}

function xml(text: string): string {
  return text
    .replace(/[^\t\n\r\x20-\uD7FF\uE000-\uFFFD]/g, '\uFFFD')
    .replace(/[&<>"'\n]/g, (character) => `&#${character.charCodeAt(0)};`);
}

const COMMANDS: Record<Level, string> = { error: 'error', warning: 'warning', note: 'notice' };

/** Workflow commands of GitHub Actions ("Workflow commands", setting an error message). */
export function githubReport({ findings, problems }: Report): string {
  const lines = findings.map(({ finding: { rule, level, path, range, message, remedy } }) => {
    const place = `file=${property(path)},line=${range.start.line},endLine=${range.end.line},col=${range.start.column},endColumn=${range.end.column}`;
    return `::${COMMANDS[level]} ${place},title=${property(rule)}::${data(`${message}\n${remedy}`)}`;
  });
  const unread = problems.map(
    ({ path, message }) => `::warning file=${property(path)},title=not scanned::${data(message)}`,
  );
  return [...lines, ...unread].map((line) => `${line}\n`).join('');
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** For a comment on a change, or a summary of a job. */
export function markdownReport({ findings, problems, counts }: Report): string {
  const head = `## imdswatch scan\n\n${summary(
    findings.map(({ finding }) => finding.level),
    counts,
    problems.length,
  )}\n`;
  if (findings.length === 0 && problems.length === 0) return head;
  const rows = findings.map(
    ({ finding: { rule, level, path, range, subject, message } }) =>
      `| ${level} | ${cell(`${path}:${range.start.line}`)} | ${rule} | ${cell(subject)} | ${cell(message)} |`,
  );
  const unread = problems.map(
    ({ path, message }) => `| not scanned | ${cell(path)} | | | ${cell(message)} |`,
  );
  return `${head}\n| level | place | rule | subject | message |\n|---|---|---|---|---|\n${[...rows, ...unread].join('\n')}\n`;
}

function cell(text: string): string {
  return text.replace(/[\\|<>&`*_[\]]/g, (character) => `\\${character}`).replace(/\s+/g, ' ');
}

/** `3 findings (1 error, 2 notes) in 14 files. 1 suppressed.` */
export function summary(
  levels: readonly Level[],
  { scanned, suppressed, known }: Report['counts'],
  problems: number,
): string {
  const parts = (['error', 'warning', 'note'] as const).flatMap((level) => {
    const count = levels.filter((one) => one === level).length;
    return count === 0 ? [] : [plural(count, level)];
  });
  const sentences = [
    `${plural(levels.length, 'finding')}${parts.length === 0 ? '' : ` (${parts.join(', ')})`} in ${plural(scanned, 'file')}.`,
  ];
  if (suppressed > 0) sentences.push(`${suppressed} suppressed.`);
  if (known > 0) sentences.push(`${known} in the baseline.`);
  if (problems > 0) sentences.push(`${plural(problems, 'file')} not fully scanned.`);
  return sentences.join(' ');
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
