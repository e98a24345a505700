/** Finds the test files that use a module, directly or by other modules of the checkout. */
import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

const IMPORT = /(?:\bfrom|\bimport)\s*\(?\s*'(\.{1,2}\/[^']+)'/g;

/** Returns the test files among files and below directories that import the module, sorted. */
export function testFilesThatUse(module: string, places: readonly string[]): string[] {
  const imports = new Map<string, readonly string[]>();
  const uses = (file: string, seen: Set<string>): boolean => {
    if (file === resolve(module)) return true;
    if (seen.has(file)) return false;
    seen.add(file);
    let imported = imports.get(file);
    if (imported === undefined) {
      imported = importsOf(file);
      imports.set(file, imported);
    }
    return imported.some((each) => uses(each, seen));
  };
  const files = places.flatMap((place) =>
    isDirectory(place) ? globSync(join(place, '**/*.test.ts')) : [place],
  );
  return [...new Set(files)].filter((file) => uses(resolve(file), new Set())).sort();
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function importsOf(file: string): string[] {
  return [...readFileSync(file, 'utf8').matchAll(IMPORT)]
    .map(([, specifier]) => resolve(dirname(file), specifier!))
    .filter((path) => path.endsWith('.ts') && existsSync(path));
}
