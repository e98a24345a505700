/** Builds the packages of one checkout, from its sources to files and their hashes. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { makeArchive } from './archive.ts';
import { describeCommands } from './commands.ts';
import { layOut } from './contents.ts';
import { makeDeb, type PackageOptions } from './deb.ts';
import { commonParts, type Parts, targetParts } from './parts.ts';
import { makeRpm } from './rpm.ts';
import { readSources } from './sources.ts';
import { DOC_DIRECTORY, type Format, type Target } from './target.ts';

export interface BuildOptions {
  /** The checkout. */
  root: string;
  targets: readonly Target[];
  formats: readonly Format[];
  revision: number;
  /** Directory for the packages. */
  out: string;
  /** Directory for temporary files. It is created, and removed at the end. */
  work: string;
}

export interface Built {
  path: string;
  packageBytes: number;
  /** 0 for a file that is not installed. */
  installedBytes: number;
  sha256: string;
}

export async function build(options: BuildOptions): Promise<Built[]> {
  const { root, targets, out, work } = options;
  mkdirSync(out, { recursive: true });
  mkdirSync(work, { recursive: true });
  try {
    const sources = await readSources(root);
    const common = await commonParts(sources, work);
    const built: Built[] = [];
    await Promise.all(
      targets.map(async (target) => {
        const parts = await targetParts(common, target, join(work, target.arch));
        built.push(...(await packagesOf(parts, options)));
      }),
    );
    built.sort((a, b) => (a.path < b.path ? -1 : 1));
    const sums = built.map(({ path, sha256 }) => `${sha256}  ${basename(path)}\n`).join('');
    writeFileSync(join(out, 'SHA256SUMS'), sums);
    return built;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function packagesOf(parts: Parts, { formats, revision, out, work }: BuildOptions): Promise<Built[]> {
  const { sources, target } = parts;
  const commands = await describeCommands();
  return (
    await Promise.all(
      formats.map(async (format) => {
        const tree = layOut(join(work, target.arch, `tree.${format}`), format, parts, commands, revision);
        const installedBytes = tree.bytes();
        const options = { tree, sources, target, revision, out };
        const bill = tree.read(`${DOC_DIRECTORY}/sbom.cdx.json`);
        const path = await make(format, options, join(work, target.arch, 'rpm'));
        const billPath = `${path}.cdx.json`;
        writeFileSync(billPath, bill);
        return [describe(path, installedBytes), describe(billPath, 0)];
      }),
    )
  ).flat();
}

function make(format: Format, options: PackageOptions, work: string): Promise<string> {
  if (format === 'deb') return makeDeb(options);
  return format === 'rpm' ? makeRpm(options, work) : makeArchive(options);
}

function describe(path: string, installedBytes: number): Built {
  const sha256 = createHash('sha256').update(readFileSync(path)).digest('hex');
  return { path, packageBytes: statSync(path).size, installedBytes, sha256 };
}
