/** Answers a request for a list: with one page of rows, or with an export of all of them. */
import type { Context } from 'hono';
import type { Logger } from 'pino';
import type { ZodObject } from 'zod';
import { toTimestamp } from '../store/time.ts';
import { cutRow } from './cut_row.ts';
import type { ApiEnv } from './env.ts';
import { type ExportOptions, exportAnswer, type Format, singleGroup } from './export.ts';
import type { ListRequest } from './list_request.ts';
import { type Cursor, cursorAfter, pageOf } from './paging.ts';
import { DEFAULT_LIMIT } from './question.ts';

export interface ListAnswerOptions<T> {
  format: Format;
  /** Name of the list, and of an exported file without its extension. */
  name: string;
  schema: ZodObject;
  /** All items in their order. */
  items: readonly T[];
  list: ListRequest;
  limit: number | undefined;
  /** When what is listed was worked out, where that can be some time ago. */
  asOfUs?: number;
  log: Logger;
  metrics: ExportOptions['metrics'];
}

/** Answers with a page that was made already, or with an export. */
export async function pageAnswer<T extends { id: string }>(
  c: Context<ApiEnv>,
  {
    page,
    all,
    list,
    ...options
  }: Pick<ListAnswerOptions<T>, 'format' | 'name' | 'schema' | 'list' | 'log' | 'metrics'> & {
    /** `asOfUs`: when what is listed was judged, where that can be some time ago. */
    page: () => Promise<{
      items: readonly T[];
      next: Pick<Cursor, 'after' | 'given'> | null;
      asOfUs?: number;
    }>;
    /** All items in their order, in groups. */
    all: () => AsyncIterable<readonly T[]>;
  },
) {
  const { format } = options;
  if (format !== 'json') return exportAnswer(c, { ...options, format, items: all() });
  const { items, next, asOfUs } = await page();
  const answer = { items: items.map(cutRow), next: cursorAfter(next, list) };
  return c.json(asOfUs === undefined ? answer : { ...answer, as_of: toTimestamp(asOfUs) }, 200, {
    Vary: 'Accept',
  });
}

export function listAnswer<T extends { id: string }>(
  c: Context<ApiEnv>,
  { format, name, schema, items, list, limit = DEFAULT_LIMIT, asOfUs, log, metrics }: ListAnswerOptions<T>,
) {
  if (format !== 'json') {
    return exportAnswer(c, { format, name, schema, items: singleGroup(items), log, metrics });
  }
  const { items: rows, next } = pageOf(items, limit, list);
  const answer = { items: rows.map(cutRow), next };
  return c.json(asOfUs === undefined ? answer : { ...answer, as_of: toTimestamp(asOfUs) }, 200, {
    Vary: 'Accept',
  });
}
