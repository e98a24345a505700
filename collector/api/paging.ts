/**
 * Pages of a list that is asked for anew each time. A cursor remembers the last item that was given and where it
 * stood, and the window: the next page goes on behind that item, wherever it stands by then.
 */
import { createHash } from 'node:crypto';
import * as z from 'zod';
import type { Window } from '../contract/window.ts';
import { badField } from './problem.ts';

const cursorShape = z.strictObject({
  /** Of what was asked besides the page: a cursor answers no other question. */
  of: z.string(),
  since: z.int(),
  until: z.int(),
  /** Id of the last item given. */
  after: z.string(),
  /** How many were given. */
  given: z.int().min(0),
  /** Of a list that the store pages. */
  inner: z.string().optional(),
});
export type Cursor = z.infer<typeof cursorShape>;

/** Query parameters that say which page, not what. */
const PAGE_KEYS = new Set(['cursor', 'limit', 'format']);

/** Names the question that a query asks. */
export function questionName(path: string, query: Record<string, unknown>): string {
  const asked = Object.entries(query)
    .filter(([key, value]) => !PAGE_KEYS.has(key) && value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([path, asked]))
    .digest('base64url')
    .slice(0, 16);
}

export function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url');
}

/** Throws `Problem` (400) for anything that is no cursor of this question. */
export function decodeCursor(text: string, name: string): Cursor {
  let cursor: Cursor;
  try {
    cursor = cursorShape.parse(JSON.parse(Buffer.from(text, 'base64url').toString('utf8')));
  } catch {
    throw badField('query', 'cursor', 'is not a cursor that was given out here');
  }
  if (cursor.of !== name || cursor.since >= cursor.until) {
    throw badField(
      'query',
      'cursor',
      'belongs to another question: every other parameter must stay as it was',
    );
  }
  return cursor;
}

/** `items` in their order; every one has an id of its own. */
export function pageOf<T extends { id: string }>(
  items: readonly T[],
  limit: number,
  { name, window, cursor }: { name: string; window: Window; cursor: Cursor | null },
): { items: T[]; next: string | null } {
  const start = cursor === null ? 0 : startAfter(items, cursor);
  const page = items.slice(start, start + limit);
  const last = page.at(-1);
  if (last === undefined || start + limit >= items.length) return { items: page, next: null };
  const next = {
    of: name,
    since: window.sinceUs,
    until: window.untilUs,
    after: last.id,
    given: start + page.length,
  };
  return { items: page, next: encodeCursor(next) };
}

function startAfter(items: readonly { id: string }[], { after, given }: Cursor): number {
  if (items[given - 1]?.id === after) return given;
  const index = items.findIndex(({ id }) => id === after);
  return index === -1 ? Math.min(given, items.length) : index + 1;
}
