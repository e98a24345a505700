/** Streams whole results as CSV or NDJSON. No more is in memory than the client reads. */
import { AsyncLocalStorage } from 'node:async_hooks';
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
    .describe(
      '`csv` and `ndjson` return the whole result instead of a page. This takes precedence over the header `Accept`.',
    ),
};

/** Returns the response contents of a list for the OpenAPI document. `more`: fields of a page beside its items. */
/** When what is listed was worked out. */
export const asOf = z.iso.datetime();

export function listContent<S extends z.ZodType, M extends z.ZodRawShape>(item: S, more?: M) {
  return {
    'application/json': { schema: z.object({ items: z.array(item), next: z.string().nullable(), ...more }) },
    'text/csv': { schema: z.string() },
    'application/x-ndjson': { schema: z.string() },
  };
}

export function formatOf(c: Context, requested: Format | undefined): Format {
  if (requested !== undefined) return requested;
  let best: { format: Format; quality: number } = { format: 'json', quality: 0 };
  for (const part of (c.req.header('accept') ?? '*/*').split(',')) {
    const [type = '', ...parameters] = part.split(';').map((piece) => piece.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    const quality = weight === undefined ? 1 : Number(weight);
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

/** Lines are collected up to this length, because each write has a cost. */
const CHUNK_CHARACTERS = 32 * 1024;

export interface ExportOptions {
  format: Exclude<Format, 'json'>;
  /** File name without its extension. */
  name: string;
  /** Makes the lines of a group of items, for NDJSON in another shape than our own. */
  linesOf?: (items: readonly unknown[]) => Iterable<string>;
  schema: ZodObject;
  /** Groups of items, in order. */
  items: AsyncIterable<readonly unknown[]>;
  log: Logger;
  metrics: Pick<ApiMetrics, 'countFailure'>;
}

/**
 * Answers with an export. The first part is made before the answer begins, so that its headers can say from when the data
 * is, and a failure there is a problem like any other. A failure midway closes the connection, so that a part is not
 * taken for the whole result.
 */
export async function exportAnswer(
  c: Context<ApiEnv>,
  { format, name, schema, items, linesOf: shaped, log, metrics }: ExportOptions,
): Promise<Response> {
  const columns = columnsOf(schema);
  const lineOf =
    format === 'csv'
      ? (item: unknown) => csvLine(columns, item)
      : (item: unknown) => `${JSON.stringify(item)}\n`;
  const linesOf = shaped ?? ((group: readonly unknown[]) => group.map((item) => lineOf(item)));
  async function* chunks() {
    let text = format === 'csv' ? csvHead(columns) : '';
    for await (const group of items) {
      for (const line of linesOf(group)) {
        text += line;
        if (text.length < CHUNK_CHARACTERS) continue;
        yield text;
        text = '';
      }
    }
    if (text !== '') yield text;
  }
  const iterator = chunks();
  let first: IteratorResult<string> | null = await iterator.next();
  // Whoever reads the body later goes on with the same reading of the store.
  const inReading = AsyncLocalStorage.snapshot();
  const next = () => inReading(() => iterator.next());
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = first ?? (await next());
          first = null;
          if (done === true) controller.close();
          else controller.enqueue(encoder.encode(value));
        } catch (error) {
          log.error(
            { reason: (error as Error).message, name },
            'an export failed midway; its connection was closed',
          );
          metrics.countFailure();
          // Without the last chunk of the body the client knows that the answer is not complete (RFC 9112
          // section 7.1).
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

export async function* singleGroup<T>(items: T): AsyncGenerator<T> {
  yield items;
}
