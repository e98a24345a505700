/**
 * The surroundings in which the unit tests run in CI: another date, time zone and locale. A test that passes only
 * near the day on which it was written fails here. Those of a developer's machine are what `npm run test:unit` has.
 */
import { execFileSync } from 'node:child_process';
import { relative, resolve } from 'node:path';

export interface Variant {
  /** Stands behind the name of every test that fails in this variant. */
  name: string;
  env: Record<string, string>;
  /** Tests that run in this variant only if they are listed here; null for all unit tests. */
  only: readonly string[] | null;
}

const KIRITIMATI = { TZ: 'Pacific/Kiritimati' };
const GERMAN = { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' };

/** Chromium does not start with a faked clock. These screens show times, so they run in another time zone and locale. */
const SCREENS_WITH_TIMES = ['findings', 'plans'].map((name) => `test/system/web/${name}.test.ts`);
/** Whole programs, packages, manifests and the page run on the real clock only. */
const ON_THE_REAL_CLOCK = 'test/system/';

/** Tests that cannot run with a faked clock, or to which no clock matters, each with its reason. */
export const LEFT_OUT: Readonly<Record<string, string>> = {
  'test/system/web/catalogue.test.ts':
    'Chromium does not start with a faked clock, and dates are tested elsewhere',
  'test/unit/collector/clock.test.ts': 'preloads a clock of its own in place of libfaketime',
  'test/unit/collector/store/postgres/database_pool.test.ts':
    'has a server on the real clock, where certificates of another clock are not valid yet',
  'test/unit/collector/alert/http/alertmanager.test.ts':
    'has an Alertmanager on the real clock, which shows no alert that begins in its future',
  ...Object.fromEntries(
    ['admin/leases_contract', 'alert/many_collectors'].map((name) => [
      `test/unit/collector/${name}.test.ts`,
      'has a database on the real clock, and a collector with another one has no lease',
    ]),
  ),
  'test/unit/run.test.ts': 'runs the runner itself',
  'test/unit/variants.test.ts': 'runs the variants itself',
  ...Object.fromEntries(
    ['killed', 'exactly_once', 'shared_database', 'store/postgres/exactly_once'].map((name) => [
      `test/unit/collector/${name}.test.ts`,
      'kills processes against the monotonic clock, and no date plays a part',
    ]),
  ),
  ...Object.fromEntries(
    ['network', 'unauthenticated'].map((name) => [
      `test/unit/collector/${name}.test.ts`,
      'cuts and floods connections against the monotonic clock, and no date plays a part',
    ]),
  ),
  ...Object.fromEntries(
    ['setup/launcher', 'packaging/elf'].map((name) => [
      `test/unit/${name}.test.ts`,
      'installs and reads programs, and no date plays a part',
    ]),
  ),
  ...Object.fromEntries(
    ['enforce_remote', 'same_verdicts'].map((name) => [
      `test/unit/cli/commands/${name}.test.ts`,
      'starts a process for each of many commands, and enforce.test.ts runs again with the same ones',
    ]),
  ),
  ...Object.fromEntries(
    ['transfer/copy_store', 'transfer/check_store', 'live/many_collectors', 'two_releases'].map((name) => [
      `test/unit/collector/${name}.test.ts`,
      'starts database servers, and gives all times of its data itself',
    ]),
  ),
  'test/unit/cli/follow/killed_follower.test.ts':
    'kills processes against the monotonic clock, and no date plays a part',
  'test/unit/collector/access/oidc/hostile.test.ts':
    'starts a dozen collectors with a provider on the same clock, whose tokens are of now',
  'test/unit/bench/collector.test.ts': 'measures a collector, and no date plays a part',
};

/** Returns the variants that can run here; those with a faked clock need Debian's `faketime`. */
export function variants(): Variant[] {
  const library = faketimeLibrary();
  const places = { ...KIRITIMATI, ...GERMAN };
  const clocks: Variant[] = [];
  if (library !== null) {
    const env = { ...ahead(4_000, library), ...places };
    clocks.push({ name: 'clock +4000 d, TZ Pacific/Kiritimati, LANG=de_DE', env, only: null });
  }
  return [...clocks, { name: 'TZ Pacific/Kiritimati, LANG=de_DE', env: places, only: SCREENS_WITH_TIMES }];
}

export function hasOtherClock({ env }: Variant): boolean {
  return 'FAKETIME' in env;
}

/** Returns the unit tests of `files` (absolute paths) that run in this variant. */
export function filesOf({ only }: Variant, files: readonly string[]): string[] {
  if (only !== null) return files.filter((file) => only.some((name) => resolve(name) === file));
  return files.filter((file) => {
    const path = relative(process.cwd(), file);
    return !(path in LEFT_OUT) && !path.startsWith(ON_THE_REAL_CLOCK);
  });
}

/**
 * Timers and the event loop run on the monotonic clock, which must stay the kernel's. Without shared memory a process
 * that is killed leaves no file behind in /dev/shm.
 */
function ahead(days: number, library: string): Record<string, string> {
  return {
    FAKETIME: `+${days}d`,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
    FAKETIME_DISABLE_SHM: '1',
    LD_PRELOAD: library,
  };
}

/** Returns the library for programs with threads, or null where `faketime` is not installed. */
function faketimeLibrary(): string | null {
  try {
    const preload = execFileSync('faketime', ['-m', '-f', '+1d', 'printenv', 'LD_PRELOAD'], {
      encoding: 'utf8',
    });
    return (
      preload
        .trim()
        .split(/[ :]/)
        .findLast((path) => path.includes('libfaketime')) ?? null
    );
  } catch {
    return null;
  }
}
