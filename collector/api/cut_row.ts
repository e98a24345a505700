/** Shortens the texts in the rows of a list, so that a page of a thousand rows stays small. */
import { cutText } from '../../protocol/text_bounds.ts';

/** More than any column shows. The answer for a single item and the exports have the whole text. */
export const MAX_ROW_TEXT_CHARACTERS = 300;

/** Returns the row with every text in it cut, and the cut marked with `…`. Its `id` stays whole. */
export function cutRow<T extends { id: string }>(row: T): T {
  return { ...(cutTexts(row) as T), id: row.id };
}

function cutTexts(value: unknown): unknown {
  if (typeof value === 'string') return cutText(value, MAX_ROW_TEXT_CHARACTERS);
  if (Array.isArray(value)) return value.map(cutTexts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, cutTexts(inner)]));
}
