/** Leaves out what is not known: receivers expect an absent field, not a null. */
import type { Json, JsonObject } from './json.ts';

type Loose = { readonly [key: string]: Json | undefined };

/** Returns the object without its fields that are null or undefined. */
export function compact(fields: Loose): JsonObject {
  const kept: { [key: string]: Json } = {};
  for (const key in fields) {
    const value = fields[key];
    if (value !== null && value !== undefined) kept[key] = value;
  }
  return kept;
}

/** Returns the same, or null where nothing is known. */
export function compactOrNull(fields: Loose): JsonObject | null {
  for (const key in fields) {
    const value = fields[key];
    if (value !== null && value !== undefined) return compact(fields);
  }
  return null;
}
