/**
 * `npm run package` makes the .deb, the .rpm and the .tar.gz of both architectures in dist/, with bills of
 * materials and SHA256SUMS.
 *
 *   npm run package -- [--arch x64,arm64] [--format deb,rpm,tar.gz] [--revision 1] [--out dist] [--check-reproducible]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { exitWith } from '../cli/exit.ts';
import { OperatorError } from '../common/operator_error.ts';
import { type Built, build } from './build.ts';
import { checkReproducible } from './reproducible.ts';
import { readSources } from './sources.ts';
import { FORMATS, TARGETS } from './target.ts';

const ROOT = join(import.meta.dirname, '..');

async function main(argv: string[]): Promise<number> {
  const { values } = parse(argv);
  const targets = chosen('arch', values.arch, TARGETS, ({ arch }) => arch);
  const formats = chosen('format', values.format, FORMATS, (format) => format);
  const revision = Number(values.revision);
  if (!Number.isInteger(revision) || revision < 1) {
    throw new OperatorError(2, `--revision is "${values.revision}": must be a whole number from 1 on.`);
  }
  const options = { root: ROOT, targets, formats, revision };
  if (values['check-reproducible']) return checkReproducible(options);

  const { changed, commit } = await readSources(ROOT);
  if (changed)
    process.stderr.write(
      'Files were changed since the last commit: nobody else can build the same packages.\n',
    );
  process.stderr.write(`Making packages of ${commit.slice(0, 12)}\n`);
  const work = mkdtempSync(join(tmpdir(), 'imdswatch-package-'));
  try {
    const built = await build({ ...options, out: resolve(ROOT, values.out), work: join(work, 'work') });
    process.stdout.write(table(built));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return 0;
}

function parse(argv: string[]) {
  try {
    return parseArgs({
      args: argv,
      options: {
        arch: { type: 'string' },
        format: { type: 'string' },
        revision: { type: 'string', default: '1' },
        out: { type: 'string', default: 'dist' },
        'check-reproducible': { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    throw new OperatorError(2, `${(error as Error).message}. The options are listed in packaging/main.ts.`);
  }
}

function chosen<T>(
  option: string,
  given: string | undefined,
  all: readonly T[],
  nameOf: (one: T) => string,
): T[] {
  const names = given?.split(',').map((name) => name.trim()) ?? all.map(nameOf);
  return names.map((name) => {
    const found = all.find((one) => nameOf(one) === name);
    if (found === undefined) {
      throw new OperatorError(
        2,
        `--${option} is "${given}": must be of ${all.map(nameOf).join(', ')}, with commas.`,
      );
    }
    return found;
  });
}

function table(built: readonly Built[]): string {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1).padStart(7);
  const rows = built.map(
    ({ path, packageBytes, installedBytes, sha256 }) =>
      `${basename(path).padEnd(42)} ${megabytes(packageBytes)} MB  ${installedBytes === 0 ? ' '.repeat(20) : `installed ${megabytes(installedBytes)} MB`}  ${sha256.slice(0, 16)}\n`,
  );
  return rows.join('');
}

await exitWith(() => main(process.argv.slice(2)));
