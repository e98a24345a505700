/** Makes or fetches the parts of the packages of one target, each once. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { buildPage } from './application.ts';
import { lockedBill } from './bill_of_materials.ts';
import { compileCap } from './cap_addon.ts';
import { fetchModules, prune } from './modules.ts';
import { fetchRuntime, type Runtime, strip } from './runtime.ts';
import type { Sources } from './sources.ts';
import type { Format, Target } from './target.ts';

export interface Parts {
  sources: Sources;
  target: Target;
  runtime: Runtime;
  /** The Node program without symbols. */
  node: string;
  /** Directory node_modules without the files that do not run. */
  modules: string;
  /** The add-on of cap for each family of distributions. */
  caps: Record<Format, string>;
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
  const [runtime, published] = await Promise.all([
    fetchRuntime(sources, target, join(work, 'runtime')),
    fetchModules(sources, target, join(work, 'modules')),
  ]);
  const node = join(work, 'node');
  const [caps] = await Promise.all([
    compileCap({ sources, target, runtime, modules: published, directory: join(work, 'cap') }),
    strip(target, runtime.program, node),
  ]);
  const modules = join(work, 'pruned/node_modules');
  cpSync(published, modules, { recursive: true, verbatimSymlinks: true });
  prune(modules);
  return { ...common, target, runtime, node, modules, caps };
}
