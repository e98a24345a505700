/** The totals of a run of tests, and the files that failed in it. */
import { resolve } from 'node:path';
import type { TestEvent } from 'node:test/reporters';
import type { Variant } from './variants.ts';

const COUNTED = ['tests', 'suites', 'passed', 'failed', 'cancelled', 'skipped', 'todo'] as const;
type Counts = Record<(typeof COUNTED)[number], number>;

/** A test, or a whole suite, that did not run. */
export interface SkippedTest {
  name: string;
  /** Empty where none is given. */
  reason: string;
}

/** Totals that a run writes for a program that runs it (`--results`). */
export interface RunResults {
  /** Files that were begun. */
  files: number;
  passed: number;
  failed: number;
  skipped: SkippedTest[];
  /** Names of the tests that failed first, and passed when their file ran again. */
  passedAgain: string[];
  durationMs: number;
}

/** The result of one test file in one variant. */
export interface FileResult {
  file: string;
  /** Null: the surroundings that the runner itself runs in. */
  variant: Variant | null;
  counts: Counts;
  hasFailed: boolean;
  durationMs: number;
  /** The tests that failed, in their order. */
  failures: TestEvent[];
  skipped: SkippedTest[];
}

/** Returns the file whose process an event is from; undefined for what is not about one file. */
export function fileOf({ data }: TestEvent): string | undefined {
  const { entryFile, file } = data as { entryFile?: string; file?: string };
  const path = entryFile ?? file;
  return path === undefined ? undefined : resolve(path);
}

/** Collects the results of files. A file that runs again replaces its earlier result. */
export class TestTotals {
  readonly #results = new Map<string, FileResult>();

  /** Forgets what a file did in a variant, because it runs again. */
  forget({ file, variant }: Pick<FileResult, 'file' | 'variant'>): void {
    this.#results.delete(keyOf(file, variant));
  }

  add(event: TestEvent, variant: Variant | null): void {
    const file = fileOf(event);
    if (file === undefined) return;
    if (event.type === 'test:fail') {
      const result = this.#resultOf(file, variant);
      result.hasFailed = true;
      result.failures.push(event);
    }
    if (event.type === 'test:pass' && event.data.skip !== undefined) {
      const reason = typeof event.data.skip === 'string' ? event.data.skip : '';
      this.#resultOf(file, variant).skipped.push({ name: event.data.name, reason });
    }
    if (event.type === 'test:summary') {
      const result = this.#resultOf(file, variant);
      const counts = event.data.counts as unknown as Counts;
      for (const name of COUNTED) result.counts[name] += counts[name] ?? 0;
      result.durationMs += event.data.duration_ms;
      if (!event.data.success) result.hasFailed = true;
    }
  }

  failed(): FileResult[] {
    return [...this.#results.values()].filter(({ hasFailed }) => hasFailed);
  }

  /** The lines that node:test itself closes a run with. */
  lines(durationMs: number): string[] {
    const sum = (name: keyof Counts) => this.#sum(name);
    const crashed = this.#crashed();
    const rows = {
      tests: sum('tests') + crashed,
      suites: sum('suites'),
      pass: sum('passed'),
      fail: sum('failed') + crashed,
      cancelled: sum('cancelled'),
      skipped: sum('skipped'),
      todo: sum('todo'),
      duration_ms: Math.round(durationMs),
    };
    return Object.entries(rows).map(([name, value]) => `${name} ${value}`);
  }

  get tests(): number {
    return this.#sum('tests');
  }

  results(durationMs: number, passedAgain: string[]): RunResults {
    return {
      files: this.#results.size,
      passed: this.#sum('passed'),
      failed: this.#sum('failed') + this.#sum('cancelled') + this.#crashed(),
      skipped: [...this.#results.values()].flatMap(({ skipped }) => skipped),
      passedAgain,
      durationMs: Math.round(durationMs),
    };
  }

  #sum(name: keyof Counts): number {
    return [...this.#results.values()].reduce((total, { counts }) => total + counts[name], 0);
  }

  /** A process that ended before its tests did has no counts of its own. */
  #crashed(): number {
    return this.failed().filter(({ counts }) => counts.failed + counts.cancelled === 0).length;
  }

  /** Returns the files that took longest over all their runs, with milliseconds. */
  slowest(number: number): [file: string, ms: number][] {
    const byFile = new Map<string, number>();
    for (const { file, durationMs } of this.#results.values()) {
      byFile.set(file, (byFile.get(file) ?? 0) + durationMs);
    }
    return [...byFile].sort((one, other) => other[1] - one[1]).slice(0, number);
  }

  #resultOf(file: string, variant: Variant | null): FileResult {
    const key = keyOf(file, variant);
    const known = this.#results.get(key);
    if (known !== undefined) return known;
    const counts = Object.fromEntries(COUNTED.map((name) => [name, 0])) as Counts;
    const result = { file, variant, counts, hasFailed: false, durationMs: 0, failures: [], skipped: [] };
    this.#results.set(key, result);
    return result;
  }
}

function keyOf(file: string, variant: Variant | null): string {
  return `${variant?.name ?? ''}\0${file}`;
}
