/** Turns nodes into values where nothing is computed, with a hook for texts that refer to something. Pure. */
import { makeValue, unknown, type Value } from '../evaluate/value.ts';
import type { DocumentNode } from './node.ts';

const MAX_DEPTH = 64;

/** `readText` may compute a text, for example `${name}`; it returns null for a plain one. */
export function plainValue(
  path: string,
  node: DocumentNode,
  readText: (text: string) => Value | null = () => null,
  depth = 0,
): Value {
  if (depth > MAX_DEPTH) return unknown('the value is nested too deep');
  const place = { path, start: node.start, end: node.end };
  switch (node.kind) {
    case 'scalar': {
      const computed = typeof node.value === 'string' ? readText(node.value) : null;
      return computed ?? makeValue(node.value, node.isBlock ? null : place);
    }
    case 'list':
      return makeValue(
        node.items.map((item) => plainValue(path, item, readText, depth + 1)),
        place,
      );
    case 'map':
      return makeValue(
        new Map(node.entries.map(({ key, value }) => [key, plainValue(path, value, readText, depth + 1)])),
        place,
      );
  }
}
