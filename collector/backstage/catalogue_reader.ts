/** Reads the entities of Backstage's catalogue, page by page. */
import * as z from 'zod';
import { askCatalogue, CatalogueError } from './catalogue_request.ts';
import { KINDS } from './entity_mapping.ts';

const PATH = 'api/catalog/entities/by-query';
const FIELDS = 'kind,metadata.name,metadata.namespace,metadata.annotations,spec.owner';

export interface ReadLimits {
  /** Entities of one page. */
  pageSize: number;
  /** More entities are left out, and counted. */
  maxEntities: number;
  maxPageBytes: number;
  maxBytes: number;
  /** Time for one page, and for all, in milliseconds. */
  pageMs: number;
  totalMs: number;
}

export const READ_LIMITS: ReadLimits = {
  pageSize: 500,
  maxEntities: 20_000,
  maxPageBytes: 16 * 1024 * 1024,
  maxBytes: 128 * 1024 * 1024,
  pageMs: 30_000,
  totalMs: 300_000,
};

export interface ReadOptions {
  /** Address of the backend, with or without a path. */
  url: string;
  token: string;
  ca: string | null;
  /** Ends the reading. */
  signal: AbortSignal;
  limits?: ReadLimits;
}

const page = z.object({
  items: z.array(z.unknown()),
  totalItems: z.int().min(0).optional(),
  pageInfo: z.object({ nextCursor: z.string().min(1).max(100_000).optional() }),
});

/** Returns the entities, and how many the limit leaves out. Throws `CatalogueError`: a part of a catalogue is none. */
export async function readCatalogue({
  url,
  token,
  ca,
  signal: ended,
  limits = READ_LIMITS,
}: ReadOptions): Promise<{ entities: unknown[]; leftOut: number }> {
  const { pageSize, maxEntities, maxPageBytes, maxBytes, pageMs, totalMs } = limits;
  const signal = AbortSignal.any([ended, AbortSignal.timeout(totalMs)]);
  const address = new URL(PATH, url.endsWith('/') ? url : `${url}/`);
  const entities: unknown[] = [];
  const cursors = new Set<string>();
  let cursor: string | null = null;
  let bytes = 0;
  let total = 0;
  for (;;) {
    const asked = new URL(address);
    asked.searchParams.set('fields', FIELDS);
    asked.searchParams.set('limit', String(pageSize));
    // A cursor has the filter of the first question in it.
    if (cursor !== null) asked.searchParams.set('cursor', cursor);
    else for (const kind of KINDS) asked.searchParams.append('filter', `kind=${kind}`);
    const left = Math.min(maxPageBytes, maxBytes - bytes);
    const answer = await askCatalogue({
      ...{ url: asked, token, ca, signal },
      timeoutMs: pageMs,
      maxBytes: left,
    });
    bytes += answer.bytes;
    const { success, data } = page.safeParse(answer.json);
    if (!success) {
      throw new CatalogueError(
        `${address.href} answered with JSON that is no page of entities: "items" and "pageInfo" are expected`,
      );
    }
    entities.push(...data.items);
    total = data.totalItems ?? 0;
    const next = data.pageInfo.nextCursor;
    if (next === undefined) {
      // All were received. The sum that the last page names may count what has come or gone meanwhile.
      total = entities.length;
      break;
    }
    if (entities.length >= maxEntities) {
      total = Math.max(total, entities.length + 1);
      break;
    }
    if (data.items.length === 0 || cursors.has(next)) {
      throw new CatalogueError(`${address.href} answers with pages that do not end`);
    }
    cursors.add(next);
    cursor = next;
  }
  const kept = entities.slice(0, maxEntities);
  return { entities: kept, leftOut: Math.max(total, entities.length) - kept.length };
}
