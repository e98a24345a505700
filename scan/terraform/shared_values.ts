/** Finds variables and locals that also decide something else, so that a fix must not change them. */
import type { Module } from './module.ts';

/** Names that are used for something besides metadata options, by module. */
const known = new WeakMap<Module, Set<string>>();

/** A line that only passes a metadata setting on. */
const SETTING_LINE =
  /^\s*"?(http_tokens|metadata_options|tokens|http_put_response_hop_limit|http_endpoint)"?\s*[=:]/;

/**
 * Returns whether a name such as `var.tokens` stands on a line of the module that does not set a metadata
 * option. A plain search decides, so comments count as uses: then the fix edits the setting itself.
 */
export function isUsedElsewhere(
  module: Module,
  name: string,
  textOf: (path: string) => string | null,
): boolean {
  let names = known.get(module);
  if (names === undefined) {
    names = new Set();
    for (const { path } of module.files) {
      for (const line of (textOf(path) ?? '').split('\n')) {
        if (SETTING_LINE.test(line)) continue;
        for (const [found] of line.matchAll(/\b(?:var|local)\.[\w-]+/g)) names.add(found);
      }
    }
    known.set(module, names);
  }
  return names.has(name);
}
