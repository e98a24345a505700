/** Makes or fetches the parts of the packages of one target, each once. */
import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildPage } from './application.ts';
import { lockedBill } from './bill_of_materials.ts';
import { compileCap, LIBDBUS_SONAME } from './cap_addon.ts';
import { startByOwnLoader } from './elf.ts';
import { fetchLibraries, type Libraries } from './libraries.ts';
import { fetchModules, prune } from './modules.ts';
import { fetchRuntime, type Runtime, strip } from './runtime.ts';
import type { Sources } from './sources.ts';
import { compileStart } from './start.ts';
import { LIBRARY_DIRECTORY, type Target } from './target.ts';

export interface Parts {
  sources: Sources;
  target: Target;
  runtime: Runtime;
  /** The Node program without symbols, which starts by the loader in the package. */
  node: string;
  /** Directory node_modules without the files that do not run. */
  modules: string;
  /** The add-on of cap. */
  cap: string;
  libraries: Libraries;
  /** The built page of the collector. */
  page: string;
  locked: Awaited<ReturnType<typeof lockedBill>>;
}

/** Returns the parts that are the same for every target. */
export async function commonParts(
  sources: Sources,
  work: string,
): Promise<Pick<Parts, 'sources' | 'page' | 'locked'>> {
  const page = join(work, 'page');
  const [locked] = await Promise.all([lockedBill(sources, join(work, 'locked')), buildPage(sources, page)]);
  return { sources, page, locked };
}

export async function targetParts(
  common: Pick<Parts, 'sources' | 'page' | 'locked'>,
  target: Target,
  work: string,
): Promise<Parts> {
  const { sources } = common;
  const [runtime, published, libraries] = await Promise.all([
    fetchRuntime(sources, target, join(work, 'runtime')),
    fetchModules(sources, target, join(work, 'modules')),
    fetchLibraries(target, join(work, 'libraries')),
  ]);
  const node = join(work, 'node');
  const [{ addon, libdbus }] = await Promise.all([
    compileCap({ sources, target, runtime, libraries, modules: published, directory: join(work, 'cap') }),
    prepareNode(target, runtime.program, node, join(work, 'start')),
  ]);
  copyFileSync(libdbus, join(libraries.directory, LIBDBUS_SONAME));
  const modules = join(work, 'pruned/node_modules');
  cpSync(published, modules, { recursive: true, verbatimSymlinks: true });
  prune(modules);
  return { ...common, target, runtime, node, modules, cap: addon, libraries };
}

/**
 * Paths in Node are relative to its directory, CODE_DIRECTORY/bin. Without /proc the C library does not know that
 * directory, so an installed package is found by its place.
 */
async function prepareNode(target: Target, from: string, to: string, work: string): Promise<void> {
  const [start] = await Promise.all([compileStart(target, work), strip(target, from, to)]);
  const own = { start, loader: `../lib/${target.loader}`, searchPath: `$ORIGIN/../lib:${LIBRARY_DIRECTORY}` };
  writeFileSync(to, startByOwnLoader(readFileSync(to), own));
}
