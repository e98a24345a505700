/** Makes the table at the end of `npm run test:postgres`. */
import type { RunResults } from '../test_totals.ts';

const HEAD = ['PostgreSQL', 'files', 'passed', 'failed', 'skipped', 'passed when run again', 'minutes'];
const MS_PER_MINUTE = 60_000;

/** The tests on one version of the server. `results` is null if the run ended without a result. */
export interface VersionRun {
  version: string;
  results: RunResults | null;
}

/** Returns the lines to print. A version has failed too if a file did not run, or if no test did. */
export function summary(runs: readonly VersionRun[], files: number): { lines: string[]; hasFailed: boolean } {
  const rows = runs.map(({ version, results }) =>
    results === null
      ? [version, 'ended without a result']
      : [
          version,
          `${results.files} of ${files}`,
          String(results.passed),
          String(results.failed),
          String(results.skipped.length),
          String(results.passedAgain.length),
          (results.durationMs / MS_PER_MINUTE).toFixed(1),
        ],
  );
  const table = [HEAD, ...rows];
  const widths = HEAD.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  for (const { version, results } of runs) {
    for (const { name, reason } of results?.skipped ?? []) {
      lines.push(`${version} skipped: ${name}: ${reason || 'no reason given'}`);
    }
    for (const name of results?.passedAgain ?? []) lines.push(`${version} passed when run again: ${name}`);
  }
  const hasFailed = runs.some(
    ({ results }) =>
      results === null || results.failed > 0 || results.passed === 0 || results.files !== files,
  );
  return { lines, hasFailed };
}
