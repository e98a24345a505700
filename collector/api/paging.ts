/**
 * Pages of a list that is computed for each request. A cursor holds the last item of a page, its position and
 * the window. The next page begins after that item, wherever it is by then.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { Window } from '../contract/window.ts';
import { badField } from './problem.ts';

const cursorShape = z.strictObject({
  /** Hash of the query without paging parameters. A cursor is valid only for the same query. */
  of: z.string(),
  since: z.int(),
  until: z.int(),
  /** Id of the last item of the page. */
  after: z.string(),
  /** Number of items up to the end of the page. */
  given: z.int().min(0),
  /** Cursor of the store, for a list that the store pages. */
  inner: z.string().optional(),
});
export type Cursor = z.infer<typeof cursorShape>;

/** Query parameters that choose the page and do not change the result. */
const PAGE_KEYS = new Set(['cursor', 'limit', 'format']);

/** Returns a hash of the query without its paging parameters. */
export function queryHash(path: string, query: Record<string, unknown>): string {
  const parameters = Object.entries(query)
    .filter(([key, value]) => !PAGE_KEYS.has(key) && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([path, parameters]))
    .digest('base64url')
    .slice(0, 16);
}

export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

/** Throws `Problem` (400) for a text that is not a cursor of this query. */
export function decodeCursor(text: string, name: string): Cursor {
  let cursor: Cursor;
  try {
    cursor = cursorShape.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch {
    throw badField('query', 'cursor', 'is not a cursor of this collector');
  }
  if (cursor.of !== name || cursor.since >= cursor.until) {
    throw badField('query', 'cursor', 'belongs to another query: all other parameters must stay unchanged');
  }
  return cursor;
}

/** Returns the place in the list after which the page of a cursor begins; null for the first page. */
export function placeOf(cursor: Cursor | null): Pick<Cursor, 'after' | 'given'> | null {
  return cursor === null ? null : { after: cursor.after, given: cursor.given };
}

/** Returns the cursor of the page that follows a place; null where there is none. */
export function cursorAfter(
  place: Pick<Cursor, 'after' | 'given'> | null,
  { name, window }: { name: string; window: Window },
): string | null {
  if (place === null) return null;
  return encodeCursor({ of: name, since: window.sinceUs, until: window.untilUs, ...place });
}

/** Returns the page after the cursor. Every item must have a unique id. */
export function pageOf<T extends { id: string }>(
  items: readonly T[],
  limit: number,
  { cursor, ...list }: { name: string; window: Window; cursor: Cursor | null },
): { items: T[]; next: string | null } {
  const start = cursor === null ? 0 : startAfter(items, cursor);
  const page = items.slice(start, start + limit);
  const last = page.at(-1);
  if (last === undefined || start + limit >= items.length) return { items: page, next: null };
  return { items: page, next: cursorAfter({ after: last.id, given: start + page.length }, list) };
}

function startAfter(items: readonly { id: string }[], { after, given }: Cursor): number {
  if (items[given - 1]?.id === after) return given;
  const index = items.findIndex(({ id }) => id === after);
  return index === -1 ? Math.min(given, items.length) : index + 1;
}
