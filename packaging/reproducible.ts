/** Checks that two builds of the same commit give the same packages. */
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BuildOptions } from './build.ts';
import { run } from './run.ts';
import { readSources } from './sources.ts';

type Options = Omit<BuildOptions, 'out' | 'work'>;

/** The conditions in which two builders may differ. */
interface Builder {
  /** Part of the clone's path. */
  name: string;
  umask: string;
  env: NodeJS.ProcessEnv;
}

const ONE: Builder = { name: 'one', umask: '022', env: { TZ: 'UTC', LC_ALL: 'C' } };
export const ANOTHER: Builder = {
  name: 'a-second-clone-elsewhere',
  umask: '077',
  env: { TZ: 'Asia/Tokyo', LC_ALL: 'C.UTF-8' },
};

/**
 * Builds the last commit twice, in two clones at paths of different length, each with another umask, time
 * zone and language, and compares the hashes. Resolves to the exit code.
 */
export async function checkReproducible(options: Options): Promise<number> {
  const { commit } = await readSources(options.root);
  const first = await sumsInClone(options, commit, ONE);
  const second = await sumsInClone(options, commit, ANOTHER);
  process.stdout.write(first);
  if (first === second) {
    process.stderr.write('Two builds, the same hashes.\n');
    return 0;
  }
  process.stdout.write(second);
  process.stderr.write('Two builds of one commit differ (above: the first, the second).\n');
  return 1;
}

/** Builds `commit` in a clone of its own and resolves to the text of SHA256SUMS. */
export async function sumsInClone(options: Options, commit: string, builder: Builder): Promise<string> {
  const { root, targets, formats, revision } = options;
  const home = mkdtempSync(join(tmpdir(), 'imdswatch-clone-'));
  try {
    const clone = join(home, builder.name, 'imdswatch');
    const git = (...args: string[]) => run('git', ['-c', 'safe.directory=*', ...args], { from: 'git' });
    await git('clone', '--quiet', '--no-hardlinks', '--no-checkout', root, clone);
    await git('-C', clone, 'checkout', '--quiet', '--detach', commit);
    // These are copied, because a link to this checkout would give both builds one path, and hide it in the
    // packages.
    cpSync(join(root, 'node_modules'), join(clone, 'node_modules'), {
      recursive: true,
      verbatimSymlinks: true,
    });
    const out = join(home, 'out');
    const script = 'umask "$1"; shift; exec "$@"';
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', 'packaging/main.ts'];
    const flags = [
      `--arch=${targets.map(({ arch }) => arch).join(',')}`,
      `--format=${formats.join(',')}`,
      `--revision=${revision}`,
      `--out=${out}`,
    ];
    const env = { ...process.env, ...builder.env };
    await run('sh', ['-c', script, 'sh', builder.umask, ...command, ...flags], { cwd: clone, env });
    return readFileSync(join(out, 'SHA256SUMS'), 'utf8');
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}
