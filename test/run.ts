/**
 * Runs the tests with node:test under one closing summary. The folder of a test decides how it runs: files of the
 * folders in `ALONE` run one after the other, because they use the machine (namespaces, captures, containers) and would
 * disturb each other's timing. All others run at the same time, beside them. With --variants the unit tests run
 * again under other dates, time zones and locales (variants.ts). Called by test/run.
 */
import { globSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { filesOf, type Variant, variants } from './variants.ts';

const FILE_TIMEOUT_MS = 8 * 60_000;
const ALONE = [
  'test/lab/',
  'test/campaign/',
  'test/system/docker/',
  'test/system/docs/',
  'test/system/systemd/',
  'test/system/trees/',
];
/** Number of test files that the end of a run lists by the time they took. */
const SLOWEST_LISTED = 40;
const TOTALS = ['tests', 'suites', 'pass', 'fail', 'cancelled', 'skipped', 'todo', 'duration_ms'] as const;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'test-name-pattern': { type: 'string', multiple: true },
    variants: { type: 'boolean', default: false },
  },
});

function testFiles(): string[] {
  const patterns = positionals.length > 0 ? positionals : ['test'];
  const files = patterns.flatMap((pattern) => {
    const isDirectory = statSync(pattern, { throwIfNoEntry: false })?.isDirectory() ?? false;
    return globSync(isDirectory ? join(pattern, '**/*.test.ts') : pattern);
  });
  return [...new Set(files.map((file) => resolve(file)))].sort();
}

/** Fuzzers, packages and database servers do not depend on the date, and take long. */
function isOnceOnly(file: string): boolean {
  const path = relative(process.cwd(), file);
  const folders = ['test/fuzz/', 'test/system/packaging/'];
  return folders.some((folder) => path.startsWith(folder)) || path.includes('/postgres/');
}

function runsSideBySide(file: string): boolean {
  const path = relative(process.cwd(), file);
  return !ALONE.some((folder) => path.startsWith(folder));
}

const files = testFiles();
if (files.length === 0) {
  console.error(`test/run: no test files in ${positionals.join(' ') || 'test'}`);
  process.exit(1);
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());

const report = new spec();
report.pipe(process.stdout);
const totals = new Map<string, number>();

/** node:test closes each run with one diagnostic a total; they are added up here and shown once at the end. */
function isTotal(message: string): boolean {
  const [name = '', value] = message.split(' ');
  if (!(TOTALS as readonly string[]).includes(name)) return false;
  totals.set(name, (totals.get(name) ?? 0) + Number(value));
  return true;
}

interface Group {
  files: string[];
  concurrency: number;
  /** Null: the surroundings that this process runs in. */
  variant: Variant | null;
}

const sideBySide = files.filter(runsSideBySide);
const variantFiles = sideBySide.filter((file) => !isOnceOnly(file));
const concurrency = availableParallelism();
const chosenVariants = values.variants ? variants() : [];
if (values.variants && !chosenVariants.some(({ env }) => 'FAKETIME' in env)) {
  console.error('test/run: faketime is not installed, so the tests do not run again with other dates');
}
const variantGroups: Group[] = chosenVariants.map((variant) => ({
  files: filesOf(variant, variantFiles),
  concurrency,
  variant,
}));
const alone: Group = {
  files: files.filter((file) => !runsSideBySide(file)),
  concurrency: 1,
  variant: null,
};
let closing: TestEvent | undefined;
/** Milliseconds that each test file took, over all its runs. */
const durations = new Map<string, number>();
// The tests of the lab wait most of their time. No other test calls a metadata service, so neither disturbs what the
// other one counts.
await Promise.all([
  runGroups([alone]),
  runGroups([{ files: sideBySide, concurrency, variant: null }, ...variantGroups]),
]);

async function runGroups(groups: readonly Group[]): Promise<void> {
  for (const group of groups) {
    if (group.files.length > 0 && !interrupted.signal.aborted) await reportGroup(group);
  }
}

async function reportGroup(group: Group): Promise<void> {
  for await (const event of runGroup(group)) {
    if (event.type === 'test:diagnostic' && event.data.nesting === 0 && isTotal(event.data.message)) continue;
    if (event.type === 'test:summary' && event.data.file !== undefined) {
      const file = relative(process.cwd(), event.data.file);
      durations.set(file, (durations.get(file) ?? 0) + event.data.duration_ms);
    }
    if (event.type === 'test:summary' && event.data.file === undefined) {
      // The reporter lists the failed tests of all groups on seeing it, so one has to do.
      if (!event.data.success) process.exitCode = 1;
      closing = event;
      continue;
    }
    if (group.variant === null) report.write(event);
    else reportFailure(event, group.variant);
  }
}

async function* runGroup({ files, concurrency, variant }: Group): AsyncGenerator<TestEvent> {
  if (variant !== null) writeLine(`${files.length} files again: ${variant.name}`);
  yield* run({
    files,
    concurrency,
    env: { ...process.env, ...variant?.env },
    timeout: FILE_TIMEOUT_MS,
    signal: interrupted.signal,
    ...(values['test-name-pattern'] ? { testNamePatterns: values['test-name-pattern'] } : {}),
  });
}

/** Reports a test that failed under the name of its variant. Tests that passed were listed by the first run. */
function reportFailure(event: TestEvent, { name: variant }: Variant): void {
  if (event.type !== 'test:fail') return;
  const cause = event.data.details.error as Error & { failureType?: string };
  if (cause.failureType === 'subtestsFailed') return; // The tests inside it are reported themselves.
  const named = { ...event.data, name: `[${variant}] ${event.data.name}`, nesting: 0 };
  report.write({ type: 'test:start', data: named });
  report.write({ type: 'test:fail', data: named });
}

function writeLine(message: string): void {
  report.write({ type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } });
}

// A run of all tests has a time limit in CI, so it says where its time went.
const slowest = [...durations].sort((one, other) => other[1] - one[1]).slice(0, SLOWEST_LISTED);
for (const [file, ms] of slowest) writeLine(`${(ms / 1_000).toFixed(1)} s in ${file}`);
for (const name of TOTALS) {
  writeLine(`${name} ${totals.get(name) ?? 0}`);
}
if (closing !== undefined) report.write(closing);
report.end();
if (interrupted.signal.aborted) process.exitCode = 130;
if ((totals.get('tests') ?? 0) === 0) process.exitCode = 1;
