/**
 * Runs the tests with node:test under one closing summary. The folder of a test decides how it runs: what `ALONE` names
 * runs one file after the other, because these use the machine (namespaces, captures, containers) and would
 * disturb each other's timing. All others run at the same time, beside them, with a lower priority. With --variants the
 * unit tests run under another date, time zone and locale (variants.ts). Called by test/run.
 *
 * A file that fails runs once more at the end, when nothing else runs. Where it passes then, the run passes and says
 * so: the tests share two cores with a lab of real packets, and some of them wait for a kernel. A file that takes longer
 * than its limit is ended and has failed, and so is the run as a whole.
 */
import { globSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { run } from 'node:test';
import type { TestEvent } from 'node:test/reporters';
import { spec } from 'node:test/reporters';
import { inspect, parseArgs } from 'node:util';
import { endMarked, endTree, testFileProcesses } from './test_processes.ts';
import { RunReport } from './test_report.ts';
import { type FileResult, fileOf, TestTotals } from './test_totals.ts';
import { filesOf, hasOtherClock, type Variant, variants } from './variants.ts';

const ALONE = [
  'test/lab/',
  'test/campaign/',
  'test/system/docker/images.test.ts',
  'test/system/docs/',
  'test/system/systemd/',
  'test/system/trees/',
];
/** Number of test files that the end of a run lists by the time they took. */
const SLOWEST_LISTED = 40;
/** More failed files than these are no accident, and none of them runs again. */
const FILES_RUN_AGAIN = 8;
const LOOK_INTERVAL_MS = 1_000;
const YIELD_TO_LAB = new URL('yield_to_lab.ts', import.meta.url).href;
/** Every process of a run has it in its environment, so that those that a test forgot are found. */
const RUN_VARIABLE = 'IMDSWATCH_TEST_RUN';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'test-name-pattern': { type: 'string', multiple: true },
    variants: { type: 'boolean', default: false },
    /** Seconds after which the process of one test file is ended. */
    'file-limit': { type: 'string', default: '480' },
    /** Seconds after which the run is ended. CI ends a run without a word after a longer time. */
    'run-limit': { type: 'string', default: '3600' },
    /** File that gets the totals as JSON (`RunResults`), for a program that runs this one. */
    results: { type: 'string' },
  },
});
const startMs = performance.now();
const fileLimitSeconds = Number(values['file-limit']);
const runLimitMs = Number(values['run-limit']) * 1_000;
function testFiles(): string[] {
  const patterns = positionals.length > 0 ? positionals : ['test'];
  const files = patterns.flatMap((pattern) => {
    const isDirectory = statSync(pattern, { throwIfNoEntry: false })?.isDirectory() ?? false;
    return globSync(isDirectory ? join(pattern, '**/*.test.ts') : pattern);
  });
  return [...new Set(files.map((file) => resolve(file)))].sort();
}

/** Fuzzers and database servers do not depend on the date, and take long. */
function isOnceOnly(file: string): boolean {
  const path = relative(process.cwd(), file);
  return path.startsWith('test/fuzz/') || path.includes('/postgres/');
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
const totals = new TestTotals();
/** Names of the tests that failed first, and passed when their file ran again. */
const passedAgain: string[] = [];

interface Group {
  files: string[];
  concurrency: number;
  /** Null: the surroundings that this process runs in. */
  variant: Variant | null;
}

const sideBySide = files.filter(runsSideBySide);
const concurrency = availableParallelism();
const chosenVariants = values.variants ? variants() : [];
if (values.variants && !chosenVariants.some(hasOtherClock)) {
  console.error('test/run: faketime is not installed, so all tests run with the date of today');
}
const repeatable = sideBySide.filter((file) => !isOnceOnly(file));
const variantGroups: Group[] = chosenVariants.map((variant) => ({
  files: filesOf(variant, repeatable),
  concurrency,
  variant,
}));
/** Tests that run under another clock do not run under that of today too: that would take half of the run's time. */
const underOtherClock = new Set(
  variantGroups.filter(({ variant }) => hasOtherClock(variant!)).flatMap((group) => group.files),
);
const alone: Group = {
  files: files.filter((file) => !runsSideBySide(file)),
  concurrency: 1,
  variant: null,
};
let labRuns = alone.files.length > 0;
const watch = setInterval(endWhatTakesTooLong, LOOK_INTERVAL_MS);
let closing: TestEvent | undefined;
// The tests of the lab wait most of their time. No other test calls a metadata service, so neither disturbs what the
// other one counts.
try {
  await Promise.all([
    runGroups([alone]).then(() => {
      labRuns = false;
    }),
    runGroups([
      { files: sideBySide.filter((file) => !underOtherClock.has(file)), concurrency, variant: null },
      ...variantGroups,
    ]),
  ]);
  await runFailedFilesAgain();
} catch (error) {
  // node:test handles errors that nobody caught, so the process would wait for nothing, or end as if all had passed.
  console.error(error);
  endMarked(RUN_VARIABLE, String(process.pid));
  process.exit(1);
}
clearInterval(watch);
close();

async function runGroups(groups: readonly Group[]): Promise<void> {
  for (const group of groups) {
    if (group.files.length > 0 && !interrupted.signal.aborted) await reportGroup(group);
  }
}

async function reportGroup(group: Group): Promise<void> {
  const { variant } = group;
  const own = new RunReport(show);
  for await (const event of runGroup(group)) {
    totals.add(event, variant);
    if (event.type === 'test:summary') {
      if (event.data.file === undefined) closing = event;
    } else if (event.type === 'test:fail') {
      announceFailure(event, variant, own);
    } else if (variant === null && !isTotal(event)) {
      own.add(event);
    }
  }
  own.flush();
}

async function* runGroup(group: Group): AsyncGenerator<TestEvent> {
  const { files, concurrency, variant } = group;
  if (variant !== null) writeLine(`${files.length} files again: ${variant.name}`);
  yield* run({
    files,
    concurrency,
    env: { ...process.env, ...variant?.env, [RUN_VARIABLE]: String(process.pid) },
    timeout: fileLimitSeconds * 1_000,
    signal: interrupted.signal,
    // A file whose tests are over ends, whatever its process still waits for.
    execArgv: [
      ...process.execArgv,
      '--test-force-exit',
      ...(group !== alone && labRuns ? ['--import', YIELD_TO_LAB] : []),
    ],
    ...(values['test-name-pattern'] ? { testNamePatterns: values['test-name-pattern'] } : {}),
  });
}

/** node:test closes each run with its totals, and there are several runs. */
function isTotal({ type, data }: TestEvent): boolean {
  return (
    type === 'test:diagnostic' &&
    data.nesting === 0 &&
    /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(data.message)
  );
}

/** A run that is interrupted ends tests whose beginning was never reported, which the reporter takes for an error. */
function show(event: TestEvent): void {
  if (!interrupted.signal.aborted) report.write(event);
}

/** Shows at once that a test failed. Whether it counts is known at the end, when it has run again. */
function announceFailure(event: TestEvent, variant: Variant | null, own: RunReport): void {
  if (event.type !== 'test:fail') return;
  // The reporter keeps account of the tests that began, so it is told that this one is over.
  if (variant === null) own.add({ type: 'test:pass', data: { ...event.data, skip: 'FAILED' } } as TestEvent);
  if (isOfItsParts(event)) return;
  const { name, details } = event.data;
  const file = relative(process.cwd(), fileOf(event) ?? '');
  writeLine(`FAILED: ${inVariant(name, variant)} in ${file}: ${firstLine(details.error)}`);
}

/** True for a suite that failed because tests in it did. */
function isOfItsParts({ type, data }: TestEvent): boolean {
  if (type !== 'test:fail') return false;
  return (data.details.error as Error & { failureType?: string }).failureType === 'subtestsFailed';
}

function firstLine(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.message.split('\n')[0] ?? '';
}

function inVariant(name: string, variant: Variant | null): string {
  return variant === null ? name : `[${variant.name}] ${name}`;
}

async function runFailedFilesAgain(): Promise<void> {
  const failed = totals.failed();
  if (failed.length > FILES_RUN_AGAIN || interrupted.signal.aborted) return;
  for (const { file, variant, failures } of failed) {
    writeLine(`FAILED, and runs again alone: ${inVariant(relative(process.cwd(), file), variant)}`);
    totals.forget({ file, variant });
    await reportGroup({ files: [file], concurrency: 1, variant });
    const hasPassed = !totals.failed().some((each) => each.file === file && each.variant === variant);
    if (!hasPassed) continue;
    for (const failure of failures.filter((each) => !isOfItsParts(each))) {
      if (failure.type !== 'test:fail') continue;
      const { name, details } = failure.data;
      passedAgain.push(inVariant(name, variant));
      writeLine(
        `PASSED WHEN IT RAN AGAIN: ${inVariant(name, variant)}. It had failed: ${inspect(details.error.cause ?? details.error)}`,
      );
    }
  }
}

function endWhatTakesTooLong(): void {
  const isOver = performance.now() - startMs > runLimitMs;
  for (const { pid, file, ageSeconds } of testFileProcesses()) {
    if (!isOver && ageSeconds < fileLimitSeconds) continue;
    const limit = isOver
      ? `the run's limit of ${values['run-limit']} s`
      : `the limit of ${fileLimitSeconds} s`;
    writeLine(`ended at ${limit}: ${relative(process.cwd(), resolve(file))}`);
    endTree(pid);
  }
  const mark = String(process.pid);
  for (const left of endMarked(RUN_VARIABLE, mark, isOver ? undefined : fileLimitSeconds)) {
    writeLine(`left running by a test, and ended: ${left}`);
  }
  if (isOver) interrupted.abort();
}

function writeLine(message: string): void {
  report.write({ type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } });
}

function close(): never | void {
  for (const left of endMarked(RUN_VARIABLE, String(process.pid)))
    writeLine(`left running by a test, and ended: ${left}`);
  // A run of all tests has a time limit in CI, so it says where its time went.
  for (const [file, ms] of totals.slowest(SLOWEST_LISTED)) {
    writeLine(`${(ms / 1_000).toFixed(1)} s in ${relative(process.cwd(), file)}`);
  }
  const failed = totals.failed();
  for (const { variant, failures } of failed) reportFailures(failures, variant);
  const durationMs = performance.now() - startMs;
  for (const line of totals.lines(durationMs)) writeLine(line);
  if (values.results !== undefined) {
    writeFileSync(values.results, JSON.stringify(totals.results(durationMs, passedAgain)));
  }
  // The reporter lists the failed tests on seeing the end of a run.
  if (closing !== undefined) report.write(closing);
  report.end();
  if (failed.length > 0 || totals.tests === 0) process.exitCode = 1;
  if (interrupted.signal.aborted) process.exitCode = 130;
}

/** Reports tests that failed, each under the name of its variant. */
function reportFailures(failures: FileResult['failures'], variant: Variant | null): void {
  for (const failure of failures) {
    if (failure.type !== 'test:fail' || isOfItsParts(failure)) continue;
    const data = { ...failure.data, name: inVariant(failure.data.name, variant), nesting: 0 };
    report.write({ type: 'test:start', data } as TestEvent);
    report.write({ type: 'test:fail', data } as TestEvent);
  }
}
