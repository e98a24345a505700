/** Rows of a list with short texts: a page of a thousand rows stays small, whatever the store holds. */
import { cutText } from '../../protocol/text.ts';

/** Longer than any column shows. The whole text is in the item's own answer and in exports. */
export const MAX_ROW_TEXT_CHARACTERS = 300;

/** Returns the row with every text in it cut, and the cut marked with `…`. Its `id` stays whole. */
export function cutRow<T extends { id: string }>(row: T): T {
  return { ...(cutTexts(row) as T), id: row.id };
}

function cutTexts(value: unknown): unknown {
  if (typeof value === 'string') return cutText(value, MAX_ROW_TEXT_CHARACTERS);
  if (Array.isArray(value)) return value.map(cutTexts);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, cutTexts(of)]));
}
