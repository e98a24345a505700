/** Whether anybody who builds the same commit gets the same packages. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildOptions } from './build.ts';
import { run } from './run.ts';

/**
 * Builds twice, in two clones at paths of different length, one after the other, with another umask, time zone and
 * language each, and compares the hashes. Resolves to the exit code.
 */
export async function checkReproducible({
  root,
  targets,
  formats,
  revision,
}: Omit<BuildOptions, 'out' | 'work'>): Promise<number> {
  const home = mkdtempSync(join(tmpdir(), 'imdswatch-twice-'));
  try {
    const sums: string[] = [];
    for (const [name, umask, env] of [
      ['one', '022', { TZ: 'UTC', LC_ALL: 'C' }],
      ['a-second-clone-elsewhere', '077', { TZ: 'Asia/Tokyo', LC_ALL: 'C.UTF-8' }],
    ] as const) {
      const clone = join(home, name, 'imdswatch');
      await run('git', ['-c', 'safe.directory=*', 'clone', '--quiet', '--no-hardlinks', root, clone], {
        from: 'git',
      });
      // Installed as they are in this checkout, and nobody's links to it: a builder must not find one path in both.
      cpSync(join(root, 'node_modules'), join(clone, 'node_modules'), {
        recursive: true,
        verbatimSymlinks: true,
      });
      const out = join(home, name, 'out');
      const options = [
        `--arch=${targets.map(({ arch }) => arch).join(',')}`,
        `--format=${formats.join(',')}`,
      ];
      const script = 'umask "$1"; shift; exec "$@"';
      const command = [
        process.execPath,
        ...process.execArgv,
        'packaging/main.ts',
        ...options,
        `--revision=${revision}`,
        `--out=${out}`,
      ];
      await run('sh', ['-c', script, 'sh', umask, ...command], {
        cwd: clone,
        env: { ...process.env, ...env },
      });
      sums.push(readFileSync(join(out, 'SHA256SUMS'), 'utf8'));
      rmSync(clone, { recursive: true, force: true });
    }
    process.stdout.write(sums[0]!);
    if (sums[0] === sums[1]) {
      process.stderr.write('Two builds, the same hashes.\n');
      return 0;
    }
    process.stdout.write(sums[1]!);
    process.stderr.write('Two builds of one commit differ (above: the first, the second).\n');
    return 1;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
