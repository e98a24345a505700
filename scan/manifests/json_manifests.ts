/**
 * Dependencies of JSON files: package-lock.json, npm-shrinkwrap.json, package.json, Pipfile.lock, composer.lock,
 * packages.lock.json, CycloneDX and SPDX. jsonc-parser keeps positions and goes on behind errors (30 KB, MIT, no
 * dependencies, kept by the editor's team that made it).
 */
import { findNodeAtLocation, type Node, parseTree } from 'jsonc-parser';
import semver from 'semver';
import { type Dependency, pinned, ranged } from './dependency.ts';
import { fromPurl } from './purl.ts';

/** Returns null for a text whose top level is no object. */
export function parseJson(text: string): Node | null {
  // The parser recurses; nesting as deep as this occurs only in files that were made to end it.
  if (nesting(text) > MAX_NESTING) return null;
  const root = parseTree(text, [], { allowTrailingComma: true });
  return root?.type === 'object' ? root : null;
}

const MAX_NESTING = 500;

function nesting(text: string): number {
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x7b || code === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (code === 0x7d || code === 0x5d) depth -= 1;
  }
  return deepest;
}

/** npm: lockfileVersion 1 nests `dependencies`, 2 and 3 have `packages` by path. */
export function npmLock(root: Node): Dependency[] {
  const found: Dependency[] = [];
  for (const [path, entry] of properties(root, ['packages'])) {
    const at = path.lastIndexOf('node_modules/');
    const version = text(entry, ['version']);
    if (at === -1 || version === null) continue;
    // An alias names the real package.
    const name = text(entry, ['name'])?.value ?? path.slice(at + 'node_modules/'.length);
    found.push(pinned('npm', name, version.value, { ...place(version.node), ...scope(entry) }));
  }
  if (found.length === 0) nestedNpm(root, found, 0);
  return found;
}

function nestedNpm(node: Node, found: Dependency[], depth: number): void {
  if (depth > 100) return;
  for (const [name, entry] of properties(node, ['dependencies'])) {
    const version = text(entry, ['version']);
    if (version !== null) {
      const alias = /^npm:(@?[^@]+)@(.+)$/.exec(version.value);
      found.push(
        pinned('npm', alias?.[1] ?? name, alias?.[2] ?? version.value, {
          ...place(version.node),
          ...scope(entry),
        }),
      );
    }
    nestedNpm(entry, found, depth + 1);
  }
}

/** package.json, which allows ranges. Source: npm documentation, "package.json", dependencies. */
export function packageJson(root: Node): Dependency[] {
  const found: Dependency[] = [];
  for (const kind of ['dependencies', 'optionalDependencies', 'peerDependencies', 'devDependencies']) {
    for (const [name, entry] of properties(root, [kind])) {
      if (entry.type !== 'string') continue;
      const range = String(entry.value);
      const where = place(entry);
      if (semver.valid(range) !== null) found.push(pinned('npm', name, range, where));
      else if (semver.validRange(range) !== null)
        found.push(ranged('npm', name, range, npmBound(range), where));
    }
  }
  return found;
}

/** The highest upper bound of the alternatives; null if one has none. */
function npmBound(range: string): Dependency['below'] {
  let highest: { version: string; inclusive: boolean } | null = null;
  for (const alternative of new semver.Range(range).set) {
    const upper = alternative.find(
      ({ operator }) => operator === '<' || operator === '<=' || operator === '',
    );
    if (upper === undefined || upper.semver.version === undefined) return null;
    const version = upper.semver.version.replace(/-0$/, '');
    if (highest === null || semver.gt(version, highest.version))
      highest = { version, inclusive: upper.operator !== '<' };
  }
  return highest;
}

export function pipfileLock(root: Node): Dependency[] {
  return ['default', 'develop'].flatMap((group) =>
    [...properties(root, [group])].flatMap(([name, entry]) => {
      const version = text(entry, ['version']);
      if (version === null) return [];
      return [
        pinned('pypi', name, version.value.replace(/^={2,3}/, ''), {
          ...place(version.node),
          ...scope(entry),
        }),
      ];
    }),
  );
}

export function composerLock(root: Node): Dependency[] {
  return ['packages', 'packages-dev'].flatMap((group) =>
    items(root, [group]).flatMap((entry) => {
      const name = text(entry, ['name']);
      const version = text(entry, ['version']);
      if (name === null || version === null) return [];
      return [pinned('composer', name.value, version.value, { ...place(version.node), ...scope(entry) })];
    }),
  );
}

/** NuGet: packages.lock.json has one object for each target framework. */
export function nugetLock(root: Node): Dependency[] {
  return [...properties(root, ['dependencies'])].flatMap(([, framework]) =>
    [...properties(framework, [])].flatMap(([name, entry]) => {
      const version = text(entry, ['resolved']);
      return version === null
        ? []
        : [pinned('nuget', name, version.value, { ...place(version.node), ...scope(entry) })];
    }),
  );
}

/** Source: CycloneDX 1.6 specification, `components` (which may nest) and `purl`. */
export function cycloneDx(root: Node): Dependency[] {
  const found: Dependency[] = [];
  const waiting = items(root, ['components']);
  const main = findNodeAtLocation(root, ['metadata', 'component']);
  if (main !== undefined) waiting.push(main);
  for (const entry of waiting) {
    const nested = items(entry, ['components']);
    for (const one of nested) waiting.push(one);
    const purl = text(entry, ['purl']);
    const named = purl === null ? null : fromPurl(purl.value);
    const version = text(entry, ['version']);
    const release = named?.version ?? version?.value ?? null;
    if (purl === null || named === null || release === null) continue;
    found.push(
      pinned(named.ecosystem, named.name, release, {
        ...place(purl.node),
        ...whole(entry, nested.length > 0 ? purl.node : entry),
      }),
    );
  }
  return found;
}

/** Source: SPDX 2.3, clause 7.21 (external references of category PACKAGE-MANAGER); SPDX 3 has `software_packageUrl`. */
export function spdx(root: Node): Dependency[] {
  const old = items(root, ['packages']).flatMap((entry) =>
    items(entry, ['externalRefs']).map((reference) => ({
      entry,
      purl:
        text(reference, ['referenceType'])?.value === 'purl' ? text(reference, ['referenceLocator']) : null,
      version: text(entry, ['versionInfo'])?.value ?? null,
    })),
  );
  const graph = items(root, ['@graph']).map((entry) => ({
    entry,
    purl: text(entry, ['software_packageUrl']),
    version: text(entry, ['software_packageVersion'])?.value ?? null,
  }));
  return [...old, ...graph].flatMap(({ entry, purl, version }) => {
    const named = purl === null ? null : fromPurl(purl.value);
    const release = named?.version ?? version;
    if (purl === null || named === null || release === null) return [];
    return [pinned(named.ecosystem, named.name, release, { ...place(purl.node), ...scope(entry) })];
  });
}

export function isCycloneDx(root: Node): boolean {
  return text(root, ['bomFormat'])?.value === 'CycloneDX';
}

export function isSpdx(root: Node): boolean {
  return (
    text(root, ['spdxVersion']) !== null ||
    items(root, ['@graph']).some((one) => text(one, ['type'])?.value === 'SpdxDocument')
  );
}

function* properties(node: Node, path: string[]): Generator<[string, Node]> {
  const object = path.length === 0 ? node : findNodeAtLocation(node, path);
  if (object?.type !== 'object') return;
  for (const property of object.children ?? []) {
    const [key, value] = property.children ?? [];
    if (key !== undefined && value !== undefined) yield [String(key.value), value];
  }
}

function items(node: Node, path: string[]): Node[] {
  const array = findNodeAtLocation(node, path);
  return array?.type === 'array' ? [...(array.children ?? [])] : [];
}

function text(node: Node, path: string[]): { value: string; node: Node } | null {
  const found = node.type === 'object' ? findNodeAtLocation(node, path) : undefined;
  return found?.type === 'string' ? { value: String(found.value), node: found } : null;
}

/** Returns the place of a string without its quotes. */
function place({ offset, length }: Node): { start: number; end: number } {
  return { start: offset + 1, end: Math.max(offset + 2, offset + length - 1) };
}

function scope({ offset, length }: Node): { scopeStart: number; scopeEnd: number } {
  return { scopeStart: offset, scopeEnd: offset + length };
}

function whole(entry: Node, narrow: Node): { scopeStart: number; scopeEnd: number } {
  return scope(narrow === entry ? entry : narrow);
}
