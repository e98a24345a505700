/** Whole results as CSV or NDJSON, streamed: no page, and no more in memory than the reader takes. */
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { Logger } from 'pino';
import type { ZodObject } from 'zod';
import { columnsOf, csvHead, csvLine } from './csv.ts';
import type { ApiEnv } from './env.ts';
import type { ApiMetrics } from './metrics.ts';
import { PROBLEM_TYPE } from './problem.ts';

export const FORMATS = { csv: 'text/csv', ndjson: 'application/x-ndjson' } as const;
export type Format = keyof typeof FORMATS | 'json';

export const formatQuery = {
  format: z
    .enum(['json', 'csv', 'ndjson'])
    .optional()
    .describe('`csv`, `ndjson`: the whole result, not a page. Takes precedence over the header `Accept`.'),
};

/** Response contents of a list for the document. */
export function listContent<S extends z.ZodType>(item: S) {
  return {
    'application/json': { schema: z.object({ items: z.array(item), next: z.string().nullable() }) },
    'text/csv': { schema: z.string() },
    'application/x-ndjson': { schema: z.string() },
  };
}

export function formatOf(c: Context, asked: Format | undefined): Format {
  if (asked !== undefined) return asked;
  let best: { format: Format; quality: number } = { format: 'json', quality: 0 };
  for (const part of (c.req.header('accept') ?? '*/*').split(',')) {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const given = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    const quality = given === undefined ? 1 : Number(given);
    const format = formatOfType(type);
    if (format !== null && quality > best.quality) best = { format, quality };
  }
  return best.format;
}

function formatOfType(type: string): Format | null {
  switch (type) {
    case 'text/csv':
      return 'csv';
    case 'application/x-ndjson':
    case 'application/ndjson':
      return 'ndjson';
    case 'application/json':
    case PROBLEM_TYPE:
    case '*/*':
    case 'application/*':
      return 'json';
    default:
      return null;
  }
}

/** Pieces of at least this much are sent: many short lines one by one would cost a write each. */
const CHUNK_CHARACTERS = 32 * 1024;

export interface ExportOptions {
  format: Exclude<Format, 'json'>;
  /** File name without its ending. */
  name: string;
  schema: ZodObject;
  /** Groups of items, in order. */
  items: AsyncIterable<readonly unknown[]>;
  log: Logger;
  metrics: Pick<ApiMetrics, 'failed'>;
}

/** A failure midway breaks the connection off, so that nobody takes a part for the whole. */
export function exported(
  c: Context<ApiEnv>,
  { format, name, schema, items, log, metrics }: ExportOptions,
): Response {
  const columns = columnsOf(schema);
  const lineOf =
    format === 'csv'
      ? (item: unknown) => csvLine(columns, item)
      : (item: unknown) => `${JSON.stringify(item)}\n`;
  async function* chunks() {
    let text = format === 'csv' ? csvHead(columns) : '';
    for await (const group of items) {
      for (const item of group) {
        text += lineOf(item);
        if (text.length < CHUNK_CHARACTERS) continue;
        yield text;
        text = '';
      }
    }
    if (text !== '') yield text;
  }
  const iterator = chunks();
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await iterator.next();
          if (done === true) controller.close();
          else controller.enqueue(encoder.encode(value));
        } catch (error) {
          log.error({ reason: (error as Error).message, name }, 'an export broke off');
          metrics.failed();
          // Ended like this the body lacks its last chunk (RFC 9112 section 7.1), and the client knows.
          c.env.outgoing.destroy();
          controller.close();
        }
      },
      async cancel() {
        await iterator.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return c.body(body, 200, {
    'Content-Type': `${FORMATS[format]}; charset=utf-8`,
    'Content-Disposition': `attachment; filename="imdswatch-${name}.${format}"`,
    Vary: 'Accept',
  });
}

export async function* once<T>(items: T): AsyncGenerator<T> {
  yield items;
}
