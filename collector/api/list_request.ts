import type { Window } from '../contract/window.ts';
import { type Cursor, decodeCursor, queryHash } from './paging.ts';
import { type WindowQuery, windowOf } from './question.ts';

export interface ListRequest {
  /** Hash of the query without its paging parameters. */
  name: string;
  /** Null for the first page. */
  cursor: Cursor | null;
  /** The window of the query, or that of its first page. */
  window: Window;
}

/** Returns the window of a list. The pages of one that ends now go on from the answers of now, as everybody asks. */
export function windowOfPage(query: WindowQuery, list: ListRequest, defaultWindowDays: number): Window {
  const isNow = query.from === undefined && query.to === undefined;
  return isNow ? windowOf(query, defaultWindowDays, Date.now()) : list.window;
}

/** Reads what all lists have in common. Throws `Problem` (400) if the cursor or the window is not valid. */
export function listRequestOf(
  path: string,
  query: WindowQuery & { cursor?: string | undefined },
  defaultWindowDays: number,
): ListRequest {
  const name = queryHash(path, query);
  const cursor = query.cursor === undefined ? null : decodeCursor(query.cursor, name);
  const window =
    cursor === null
      ? windowOf(query, defaultWindowDays, Date.now())
      : { sinceUs: cursor.since, untilUs: cursor.until };
  return { name, cursor, window };
}
