import type { Window } from '../contract/window.ts';
import type { Format } from './export.ts';
import { type Cursor, decodeCursor, queryHash } from './paging.ts';
import type { View } from './parts.ts';
import { type WindowQuery, windowOf } from './question.ts';

export interface ListRequest {
  /** Hash of the query without its paging parameters. */
  name: string;
  /** Null for the first page. */
  cursor: Cursor | null;
  /** The window of the query, or that of its first page. */
  window: Window;
}

export interface ListQuestion {
  query: WindowQuery;
  list: ListRequest;
  format: Format;
  defaultWindowDays: number;
}

/** Returns the window of a list. The pages of one that ends now go on from the answers of now, as everybody asks. */
export function windowOfPage(query: WindowQuery, list: ListRequest, defaultWindowDays: number): Window {
  const isNow = query.from === undefined && query.to === undefined;
  return isNow ? windowOf(query, defaultWindowDays, Date.now()) : list.window;
}

/**
 * Returns who answers a list of findings, and the window to ask about. An export is worked out when it is asked for, and has
 * the window of the query.
 */
export function listSource(
  insight: View['insight'],
  { query, list, format, defaultWindowDays }: ListQuestion,
): { source: View['insight'] | View['insight']['fresh']; window: Window } {
  if (format !== 'json') return { source: insight.fresh, window: list.window };
  return { source: insight, window: windowOfPage(query, list, defaultWindowDays) };
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
