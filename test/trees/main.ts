/**
 * `npm run test:trees`: the packages of this checkout on whole systems: Debian 11, 12 and 13, with an old libbpf and with
 * none, with the package on a read-only mount, with the units of an old systemd, and under OpenRC. Needs root, and
 * downloads the systems once. test/system/trees/busybox.test.ts has the one with nothing but busybox.
 *
 *   --only NAME,…  these systems only, by the names that are printed
 *
 * Exit codes: 0 the package works on all of them; 1 not so; 2 bad usage.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../../cli/exit.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { Lab } from '../../lab/lab.ts';
import { copyDebianTree, type DebianRelease } from '../support/lab/debian_tree.ts';
import { HostTree } from '../support/packaging/host_tree.ts';
import { keptPackages, NATIVE } from '../support/packaging/kept.ts';
import { checkOpenrc } from './openrc.ts';
import { checkUnits } from './units.ts';

const CALLS = 20;

/** A system, and what is done with the package on it. Resolves to what is printed. */
interface System {
  name: string;
  check(): Promise<string>;
}

const SYSTEMS: readonly System[] = [
  tree('debian-11', { suite: 'bullseye' }),
  tree('debian-11-libbpf-0.3', { suite: 'bullseye', more: ['libbpf0'] }),
  tree('debian-12-read-only', {}, '/usr'),
  tree('debian-13', { suite: 'trixie' }),
  { name: 'debian-11-units', check: () => checkUnits({ suite: 'bullseye' }, []) },
  // The same programs with what the packages change for systemd 219.
  {
    name: 'debian-11-units-as-of-219',
    check: () => checkUnits({ suite: 'bullseye' }, ['old-systemd-filter.conf', 'old-systemd-root.conf']),
  },
  { name: 'debian-13-units', check: () => checkUnits({ suite: 'trixie' }, []) },
  { name: 'debian-12-openrc', check: checkOpenrc },
];

/** The .deb, installed by the dpkg of that release, in the lab's network. */
function tree(name: string, release: DebianRelease, readOnly?: string): System {
  const check = async () => {
    const lab = await Lab.create({ name: 'trees', ipv6: false });
    try {
      const root = join(lab.home, 'root');
      await copyDebianTree(root, release);
      copyFileSync((await keptPackages(NATIVE)).deb, join(root, 'imdswatch.deb'));
      const options = { lab, root, imdswatch: 'imdswatch', code: '/usr/lib/imdswatch/' };
      const writable = new HostTree(options);
      await writable.furnish();
      const { status, stdout, stderr } = await writable.run([
        'dpkg',
        '--force-unsafe-io',
        '-i',
        '/imdswatch.deb',
      ]);
      if (status !== 0) throw new Error(`${stdout}${stderr}`);
      const host = readOnly === undefined ? writable : new HostTree({ ...options, readOnly });
      const { version, doctor, calls, exact } = await host.check(CALLS);
      const dpkg = (await host.run(['dpkg-query', '-W', 'dpkg', 'libc6', 'libbpf*'])).stdout.trim();
      return `${version}; ${calls} of ${CALLS} calls named, ${exact} exact; doctor ${JSON.stringify(doctor)}; ${dpkg.replaceAll(/\s+/g, ' ')}`;
    } finally {
      await lab.close();
    }
  };
  return { name, check };
}

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({ args: argv, options: { only: { type: 'string' } } });
  const only = values.only?.split(',');
  const unknown = only?.filter((name) => !SYSTEMS.some((system) => system.name === name)) ?? [];
  if (unknown.length > 0) {
    const names = SYSTEMS.map(({ name }) => name).join(', ');
    throw new OperatorError(
      2,
      `--only is "${values.only}": there is no ${unknown.join(', ')}. There are: ${names}.`,
    );
  }
  let failed = 0;
  for (const { name, check } of SYSTEMS.filter(({ name }) => only === undefined || only.includes(name))) {
    try {
      process.stdout.write(`${name}: ${await check()}\n`);
    } catch (error) {
      failed++;
      process.stdout.write(`${name}: FAILED: ${(error as Error).message}\n`);
    }
  }
  return failed === 0 ? 0 : 1;
}

await exitWith(() => main(process.argv.slice(2)));
