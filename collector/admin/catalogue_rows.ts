/**
 * The last good copy of the catalogue that names owners, and how it was read. They are two rows of settings, so that releases
 * with and without them use the same database: the small one is read every few seconds, the other when it has changed.
 */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import * as z from 'zod';
import type { AdminSql } from './admin_sql.ts';
import { StoredSettings } from './stored_settings.ts';

const STATE_KEY = 'catalogue_state';
const COPY_KEY = 'catalogue_copy';
/** 20,000 entities with 50 rules of 300 characters would have more: such a catalogue is refused. */
const MAX_COPY_BYTES = 64 * 1024 * 1024;

const counts = z.object({
  without_owner: z.int(),
  without_rule: z.int(),
  unreadable: z.int(),
  left_out: z.int(),
  rules_invalid: z.int(),
  invalid: z.array(z.object({ entity: z.string(), rule: z.string() })),
});
const state = z.object({
  /** Address that was asked. A copy of another one is not used. */
  url: z.string(),
  /** Grows with each reading. The copy has the same. */
  version: z.int(),
  readMs: z.number().nullable(),
  counts: counts.nullable(),
  failures: z.int(),
  failedMs: z.number().nullable(),
  error: z.string().nullable(),
});
const copy = z.object({ version: z.int(), packed: z.string() });
const entities = z.array(z.object({ entity: z.string(), owner: z.string(), rules: z.array(z.string()) }));

export type CatalogueState = z.infer<typeof state>;
export type CatalogueCounts = z.infer<typeof counts>;
export type StoredEntities = z.infer<typeof entities>;

/** The questions for the rows, also for a database that is opened for reading. */
export const CATALOGUE_QUESTIONS = {
  state: `SELECT value FROM settings WHERE key = '${STATE_KEY}'`,
  copy: `SELECT value FROM settings WHERE key = '${COPY_KEY}'`,
} as const;

export class CatalogueRows {
  readonly #settings: StoredSettings;

  constructor(sql: AdminSql) {
    this.#settings = new StoredSettings(sql);
  }

  /** Returns null where no catalogue was ever asked. */
  async state(): Promise<CatalogueState | null> {
    return catalogueState(await this.#settings.get(STATE_KEY));
  }

  /** Returns null where none was ever read. */
  async entities(): Promise<{ version: number; entities: StoredEntities } | null> {
    return catalogueCopy(await this.#settings.get(COPY_KEY));
  }

  /** Stores the state, and the copy that belongs to it unless `packed` is null. The caller has a transaction. */
  async put(next: CatalogueState, packed: string | null): Promise<void> {
    if (packed !== null) await this.#settings.put(COPY_KEY, { version: next.version, packed });
    await this.#settings.put(STATE_KEY, next);
  }
}

/** Reads the value of the row; null where there is none. Throws for a damaged one. */
export function catalogueState(value: unknown): CatalogueState | null {
  return value === undefined ? null : state.parse(value);
}

/** Reads the value of the row; null where there is none. Rejects for a damaged one. */
export async function catalogueCopy(
  value: unknown,
): Promise<{ version: number; entities: StoredEntities } | null> {
  if (value === undefined) return null;
  const { version, packed } = copy.parse(value);
  const text = await promisify(gunzip)(Buffer.from(packed, 'base64'), { maxOutputLength: MAX_COPY_BYTES });
  return { version, entities: entities.parse(JSON.parse(text.toString('utf8'))) };
}

/** Returns the form in which entities are stored. Throws `RangeError` where they are too large. */
export async function packEntities(all: StoredEntities): Promise<string> {
  const text = Buffer.from(JSON.stringify(all));
  if (text.length > MAX_COPY_BYTES) {
    throw new RangeError(
      `the rules of the catalogue have more than ${MAX_COPY_BYTES} bytes, which is the limit`,
    );
  }
  return (await promisify(gzip)(text)).toString('base64');
}
