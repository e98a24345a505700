/**
 * Honours suppression comments: our own, and those of the scanners whose rules are the same. Sources: Checkov
 * documentation "Suppressing and skipping policies", KICS "Running KICS: using commands on scanned files as comments", Trivy
 * "Filtering: by inline comments", tfsec "Ignoring checks".
 */
import type { Finding, Problem } from './finding.ts';
import { describeRule, RULE_IDS } from './rules/catalogue.ts';
import type { SourceFile } from './source_file.ts';

export interface Suppressed {
  findings: Finding[];
  problems: Problem[];
  count: number;
}

type Reach =
  /** The statement that it stands in, or directly above. */
  | 'statement'
  /** The line below it. */
  | 'next_line'
  /** The statement below it. */
  | 'next_statement'
  | 'file';

interface Suppression {
  line: number;
  start: number;
  end: number;
  reach: Reach;
  /** Ids as they are written, in lower case; `*` is all. */
  ids: string[];
  isOwn: boolean;
  /** Last day on which it counts, `YYYY-MM-DD`. */
  until: string | null;
}

const MARKERS = /imdswatch:ignore|checkov:skip|kics-scan|trivy:ignore|tfsec:ignore/;
const IN_COMMENT = /(?:#|\/\/|\/\*|\*|--|<!--|^\s*;|^\s*REM\b)/i;
/** Long ids of tfsec and old Trivy, and the short ids of the same checks. */
const LONG_IDS: Record<string, string> = {
  'aws-ec2-enforce-http-token-imds': 'aws-0028',
  'aws-vpc-enforce-http-token-imds': 'aws-0028',
  'aws-ec2-enforce-launch-config-http-token-imds': 'aws-0130',
  'aws-autoscaling-enforce-http-token-imds': 'aws-0130',
};

/** `today` is the current day, `YYYY-MM-DD`. */
export function suppress(
  findings: readonly Finding[],
  open: (path: string) => SourceFile | null,
  today: string,
): Suppressed {
  const result: Suppressed = { findings: [], problems: [], count: 0 };
  const files = new Map<string, { file: SourceFile; suppressions: Suppression[] } | null>();
  const expired = new Set<Suppression>();
  for (const finding of findings) {
    let known = files.get(finding.path);
    if (known === undefined) {
      const file = open(finding.path);
      known =
        file === null || !MARKERS.test(file.text)
          ? null
          : { file, suppressions: read(file, result.problems) };
      files.set(finding.path, known);
    }
    const matching =
      known === null
        ? []
        : known.suppressions.filter((one) => reaches(one, finding, known.file) && names(one, finding));
    if (matching.some(({ until }) => until === null || until >= today)) {
      result.count += 1;
      continue;
    }
    result.findings.push(finding);
    for (const suppression of matching) {
      if (!suppression.isOwn || expired.has(suppression)) continue;
      expired.add(suppression);
      result.findings.push(expiredFinding(known!.file, suppression, finding));
    }
  }
  return result;
}

function expiredFinding(file: SourceFile, { start, end, until }: Suppression, finding: Finding): Finding {
  return {
    rule: 'suppression-expired',
    level: describeRule('suppression-expired').level,
    path: file.path,
    range: file.range(start, end),
    scope: file.range(start, end),
    subject: finding.rule,
    message: `This suppression ended on ${until}. The finding below it counts again.`,
    evidence: [],
    remedy: 'Repair the code, or agree on a new end date.',
    elsewhere: [],
    identity: finding.subject,
  };
}

function read(file: SourceFile, problems: Problem[]): Suppression[] {
  const found: Suppression[] = [];
  for (let line = 1; line <= file.lineCount; line++) {
    const text = file.line(line);
    if (text.length > 2000 || !MARKERS.test(text)) continue;
    const marker = MARKERS.exec(text)!;
    if (!IN_COMMENT.test(text.slice(0, marker.index))) continue;
    const start = file.lineStart(line) + marker.index;
    const place = { line, start, end: start + text.length - marker.index, isOwn: false, until: null };
    const comment = text.slice(marker.index).replace(/\s*(?:\*\/|-->)\s*$/, '');
    if (comment.startsWith('imdswatch:ignore')) {
      const own = readOwn(comment);
      if ('wrong' in own)
        problems.push({ path: file.path, range: file.range(start, place.end), message: own.wrong });
      else found.push({ ...place, ...own, reach: 'statement', isOwn: true });
    } else for (const one of readOthers(comment)) found.push({ ...place, ...one });
  }
  return found;
}

/** `imdswatch:ignore RULE[,RULE] [until=YYYY-MM-DD] REASON`. */
function readOwn(comment: string): { ids: string[]; until: string | null } | { wrong: string } {
  const match = /^imdswatch:ignore\s+([\w,-]+)(?:\s+until=([^\s:]+))?(?:\s*:)?\s*(.*)$/.exec(comment);
  const ids = match?.[1]?.split(',') ?? [];
  const unknown = ids.find((id) => !(RULE_IDS as readonly string[]).includes(id));
  if (match === null || unknown !== undefined) {
    return {
      wrong: `This suppression does not count: ${unknown === undefined ? 'it names no rule' : `"${unknown}" is no rule`}. Write: imdswatch:ignore RULE until=YYYY-MM-DD REASON.`,
    };
  }
  if (match[3]!.trim() === '')
    return {
      wrong: 'This suppression does not count: it gives no reason. Write the reason behind the rule.',
    };
  const until = match[2] ?? null;
  if (until !== null && (!/^\d{4}-\d\d-\d\d$/.test(until) || Number.isNaN(Date.parse(until)))) {
    return { wrong: `This suppression does not count: "${until}" is no day. Write it as YYYY-MM-DD.` };
  }
  return { ids, until };
}

function readOthers(comment: string): Pick<Suppression, 'ids' | 'until' | 'reach'>[] {
  const checkov = /^checkov:skip=([\w,]+)/i.exec(comment);
  if (checkov !== null) return [{ ids: lower(checkov[1]!.split(',')), until: null, reach: 'statement' }];
  const kics = /^kics-scan\s+(ignore-line|ignore-block|ignore|disable=([\w,-]+))/.exec(comment);
  if (kics !== null) {
    const reach =
      kics[1] === 'ignore-line' ? 'next_line' : kics[1] === 'ignore-block' ? 'next_statement' : 'file';
    const ids =
      kics[2] === undefined ? ['kics:*'] : kics[2].split(',').map((id) => `kics:${id.toLowerCase()}`);
    return [{ ids, until: null, reach }];
  }
  const until = /\bexp:(\d{4}-\d\d-\d\d)/.exec(comment)?.[1] ?? null;
  return [...comment.matchAll(/(?:trivy|tfsec):ignore:([\w*-]+)/gi)].map((match) => ({
    ids: lower([match[1]!]).map((id) => LONG_IDS[id] ?? id.replace(/^avd-/, '')),
    until,
    reach: 'statement',
  }));
}

function lower(ids: readonly string[]): string[] {
  return ids.map((id) => id.toLowerCase());
}

function names({ ids, isOwn }: Suppression, { rule, elsewhere }: Finding): boolean {
  if (isOwn) return ids.includes(rule);
  const same = lower(elsewhere).map((id) => id.replace(/^avd-/, ''));
  if (same.length === 0) return false;
  return ids.some(
    (id) =>
      id === '*' ||
      same.includes(id) ||
      (id === 'kics:*' && same.some((one) => one.startsWith('kics:'))) ||
      // KICS accepts the first characters of a query's id.
      (id.startsWith('kics:') && id.length >= 13 && same.some((one) => one.startsWith(id))),
  );
}

function reaches({ line, reach }: Suppression, { scope, range }: Finding, file: SourceFile): boolean {
  const first = scope.start.line;
  switch (reach) {
    case 'file':
      return onlyComments(file, 1, line);
    case 'next_line':
      return range.start.line === line + 1;
    case 'next_statement':
      return line < first && onlyComments(file, line + 1, first);
    case 'statement':
      if (line >= first) return line <= scope.end.line;
      return onlyComments(file, line + 1, first);
  }
}

/** Says whether the lines from `from` up to `to`, which is not counted, are comments or empty. */
function onlyComments(file: SourceFile, from: number, to: number): boolean {
  if (to - from > 20) return false;
  for (let line = from; line < to; line++) {
    if (!/^\s*(?:$|#|\/\/|\/\*|\*|--|<!--|;)/.test(file.line(line))) return false;
  }
  return true;
}
