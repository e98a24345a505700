/** Finds the files of a tree: honours `.gitignore`, stays inside the tree, and is bounded. */
import {
  type Dirent,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import ignore, { type Ignore } from 'ignore';
import { OperatorError } from '../common/operator_error.ts';
import type { Problem } from './finding.ts';
import type { Limits } from './limits.ts';

/** Directories that hold no code of the tree's owner. */
const NEVER_WALKED = new Set(['.git', '.hg', '.svn', '.terraform', 'node_modules']);

export interface FoundFile {
  /** Path as it is reported. */
  path: string;
  /** Absolute path. */
  absolute: string;
  size: number;
}

interface IgnoreRules {
  /** Absolute directory of the `.gitignore`. */
  directory: string;
  rules: Ignore;
}

/**
 * Yields the files below each of `paths`, sorted, each once. A path that names a file is always yielded,
 * ignored or not. Throws `OperatorError` for a path that does not exist.
 */
export function* walk(
  paths: readonly string[],
  working: string,
  limits: Limits,
  problems: Problem[],
): Generator<FoundFile> {
  const seen = new Set<string>();
  let count = 0;
  for (const path of paths) {
    const absolute = resolve(working, path);
    let stat: Stats;
    try {
      stat = statSync(absolute);
    } catch (error) {
      throw new OperatorError(2, `${path} cannot be read: ${(error as Error).message}. Check the path.`);
    }
    if (!stat.isDirectory()) {
      if (seen.has(absolute)) continue;
      seen.add(absolute);
      yield { path: shownPath(absolute, working), absolute, size: stat.size };
      continue;
    }
    const root = realpathSync(absolute);
    for (const file of walkDirectory(absolute, root, rulesAbove(absolute), 0)) {
      if (seen.has(file.absolute)) continue;
      seen.add(file.absolute);
      count++;
      if (count > limits.files) {
        problems.push({
          path,
          message: `More than ${limits.files} files: the rest is not scanned. Name smaller directories.`,
        });
        return;
      }
      yield file;
    }
  }

  function* walkDirectory(
    directory: string,
    root: string,
    above: readonly IgnoreRules[],
    depth: number,
  ): Generator<FoundFile> {
    const shown = shownPath(directory, working);
    if (depth > limits.depth) {
      problems.push({
        path: shown,
        message: `The directory is nested deeper than ${limits.depth}; it is not scanned.`,
      });
      return;
    }
    let entries: Dirent[];
    try {
      entries = readdirSync(directory, { withFileTypes: true });
    } catch (error) {
      problems.push({ path: shown, message: `The directory cannot be read: ${(error as Error).message}.` });
      return;
    }
    entries.sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
    const own = entries.some(({ name }) => name === '.gitignore') ? rulesIn(directory) : null;
    const rules = own === null ? above : [...above, own];
    for (const entry of entries) {
      const absolute = join(directory, entry.name);
      let isDirectory = entry.isDirectory();
      let isFile = entry.isFile();
      if (entry.isSymbolicLink()) {
        const target = linkInside(absolute, root);
        if (target === null) continue;
        // A linked directory of the same tree is walked at its own place.
        isDirectory = false;
        isFile = target.isFile();
      }
      if (isDirectory) {
        if (NEVER_WALKED.has(entry.name) || isIgnored(absolute, true, rules)) continue;
        yield* walkDirectory(absolute, root, rules, depth + 1);
      } else if (isFile && !isIgnored(absolute, false, rules)) {
        let size: number;
        try {
          size = statSync(absolute).size;
        } catch {
          continue; // The file went away between the listing and this line.
        }
        yield { path: shownPath(absolute, working), absolute, size };
      }
    }
  }
}

/** Returns the path as it is reported: relative where it lies below the working directory. */
export function shownPath(absolute: string, working: string): string {
  const below = relative(working, absolute);
  const shown = below === '' ? '.' : below.startsWith(`..${sep}`) || below === '..' ? absolute : below;
  return sep === '/' ? shown : shown.replaceAll(sep, '/');
}

/** Returns the target of a link that stays inside `root`; null for any other link. */
function linkInside(link: string, root: string): Stats | null {
  try {
    const target = realpathSync(link);
    return target === root || target.startsWith(root + sep) ? statSync(target) : null;
  } catch {
    return null; // The link leads nowhere.
  }
}

/** Reads the `.gitignore` files from the repository's top down to the directory above this one. */
function rulesAbove(directory: string): IgnoreRules[] {
  const found: IgnoreRules[] = [];
  let at = directory;
  while (!hasGit(at)) {
    const up = resolve(at, '..');
    if (up === at) return []; // Not in a repository: files outside the tree have no say.
    at = up;
    const rules = rulesIn(at);
    if (rules !== null) found.unshift(rules);
  }
  return found;
}

function hasGit(directory: string): boolean {
  try {
    lstatSync(join(directory, '.git'));
    return true;
  } catch {
    return false;
  }
}

function rulesIn(directory: string): IgnoreRules | null {
  try {
    const text = readFileSync(join(directory, '.gitignore'), 'utf8');
    return { directory, rules: ignore().add(text) };
  } catch {
    return null;
  }
}

/** The nearest `.gitignore` that says something decides, as in git. */
function isIgnored(absolute: string, isDirectory: boolean, all: readonly IgnoreRules[]): boolean {
  for (let at = all.length - 1; at >= 0; at--) {
    const { directory, rules } = all[at]!;
    const path = relative(directory, absolute).replaceAll(sep, '/') + (isDirectory ? '/' : '');
    const { ignored, unignored } = rules.test(path);
    if (ignored) return true;
    if (unignored) return false;
  }
  return false;
}
