/**
 * Knows which owners Backstage's catalogue names. Of several collectors the one with the lease reads it, and stores a copy;
 * all take the copy within some seconds. When the catalogue cannot be read, the last good copy stays.
 */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { Counters } from '../../protocol/records.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import { type CatalogueState, packEntities } from '../admin/catalogue_rows.ts';
import type { Lease } from '../admin/lease.ts';
import type { Held } from '../admin/leases.ts';
import type { OwnerCatalogue } from '../contract/owner.ts';
import type { Owners } from '../insight/owners.ts';
import { READ_LIMITS, type ReadLimits, readCatalogue } from './catalogue_reader.ts';
import { catalogueView, NO_CATALOGUE, servedCatalogue } from './catalogue_view.ts';
import { mapEntities } from './entity_mapping.ts';
import { type BackstageOptions, readToken } from './options.ts';

/** Longer than a reading may take: who has the lease stores what it has read. */
export const CATALOGUE_LEASE_MS = READ_LIMITS.totalMs + 60_000;
const LOOK_MS = 2_000;
const FIRST_RETRY_MS = 60_000;

export interface CatalogueWatchOptions extends BackstageOptions {
  admin: Pick<AdminStore, 'catalogue' | 'transaction'>;
  lease: Pick<Lease, 'take' | 'stop'>;
  log: Logger;
  limits?: ReadLimits;
  /** Time from one look to the next, in milliseconds. */
  lookMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
}

export class CatalogueWatch {
  readonly #options: CatalogueWatchOptions;
  #state: CatalogueState | null = null;
  #view = NO_CATALOGUE;
  /** That of the view. */
  #version = 0;
  /** Version of the stored state, also where that is of another address. */
  #storedVersion = 0;
  #askedMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #reading: Promise<void> | null = null;
  readonly #ending = new AbortController();
  #onChange: () => void = () => {};
  readonly #counters = { reads: 0, reads_failed: 0, copies_failed: 0 };

  private constructor(options: CatalogueWatchOptions) {
    this.#options = options;
  }

  /** Takes the stored copy, then looks for newer ones, and reads the catalogue when that is due. Does not wait for Backstage. */
  static async open(options: CatalogueWatchOptions): Promise<CatalogueWatch> {
    const watch = new CatalogueWatch(options);
    await watch.#tick();
    watch.#timer = setInterval(() => void watch.#tick(), options.lookMs ?? LOOK_MS);
    watch.#timer.unref();
    return watch;
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#ending.abort();
    await this.#looking;
    await this.#reading;
    await this.#options.lease.stop();
  }

  /** Calls `listener` when owners may be others than before. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  owners(): Owners {
    return this.#view.found.owners;
  }

  served(): OwnerCatalogue {
    return servedCatalogue(this.#options.url, this.#state, this.#view);
  }

  counters(): Counters {
    const { entities, rules, rules_ambiguous, rules_invalid, left_out, failures } = this.served();
    const { readMs = null } = this.#state ?? {};
    return {
      ...this.#counters,
      ...{ entities, rules, rules_ambiguous, rules_invalid, left_out, failures },
      ...(readMs !== null && { age_seconds: Math.max(0, Math.round((this.#nowMs() - readMs) / 1000)) }),
    };
  }

  /** Takes the stored copy where it has changed. Never rejects: a failure is counted, and the known copy stays. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  /** Reads the catalogue if this collector has the lease, whether it is due or not. Never rejects. */
  read(): Promise<void> {
    this.#reading ??= this.#read(() => true).finally(() => {
      this.#reading = null;
    });
    return this.#reading;
  }

  async #tick(): Promise<void> {
    await this.look();
    if (this.#ending.signal.aborted || !this.#isDue()) return;
    this.#reading ??= this.#read(() => this.#isDue()).finally(() => {
      this.#reading = null;
    });
  }

  #isDue(): boolean {
    const { readMs, failures, failedMs } = this.#state ?? { readMs: null, failures: 0, failedMs: null };
    const { intervalMs } = this.#options;
    const now = this.#nowMs();
    // Collectors with different addresses would otherwise take turns without a pause.
    if (Math.abs(now - this.#askedMs) < FIRST_RETRY_MS) return false;
    // A moment in the future comes from another clock. It must not keep the catalogue from being read.
    const isOver = (sinceMs: number, ms: number) => now - sinceMs >= ms || sinceMs - now > ms;
    if (failures === 0 || failedMs === null) return readMs === null || isOver(readMs, intervalMs);
    return isOver(failedMs, Math.min(intervalMs, FIRST_RETRY_MS * 2 ** (failures - 1)));
  }

  async #look(): Promise<void> {
    const { admin, url, log } = this.#options;
    try {
      const stored = await admin.catalogue.state();
      const state = stored?.url === url ? stored : null;
      this.#storedVersion = stored?.version ?? 0;
      if (isDeepStrictEqual(state, this.#state)) return;
      const version = state?.readMs == null ? 0 : state.version;
      if (version !== this.#version) {
        const copy = version === 0 ? null : await admin.catalogue.entities();
        // Another collector may have stored the next one meanwhile: the next look takes both.
        if (version !== 0 && copy?.version !== version) return;
        this.#view = copy === null ? NO_CATALOGUE : catalogueView(copy.entities);
        this.#version = version;
        this.#state = state;
        this.#onChange();
      }
      this.#state = state;
    } catch (error) {
      this.#counters.copies_failed += 1;
      log.error({ reason: (error as Error).message }, 'the stored copy of the catalogue cannot be read');
    }
  }

  async #read(isWanted: () => boolean): Promise<void> {
    const { lease, log } = this.#options;
    try {
      const held = await lease.take();
      if (held === null) return;
      // Another collector may have read it just before.
      await this.look();
      if (!isWanted()) return;
      await this.#readAs(held);
      await this.look();
    } catch (error) {
      this.#counters.copies_failed += 1;
      log.error({ reason: (error as Error).message }, 'what was read of the catalogue cannot be stored');
    }
  }

  async #readAs(held: Held): Promise<void> {
    const { url, log } = this.#options;
    const before = this.#state;
    const version = this.#storedVersion + 1;
    this.#askedMs = this.#nowMs();
    try {
      const { entities, counts } = await this.#ask();
      const packed = await packEntities(entities);
      const now = this.#nowMs();
      await this.#store(
        held,
        { ...{ url, version, readMs: now, counts }, failures: 0, failedMs: null, error: null },
        packed,
      );
      this.#counters.reads += 1;
      log.info(
        { entities: entities.length, left_out: counts.left_out },
        'the catalogue of Backstage was read',
      );
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      this.#counters.reads_failed += 1;
      const failures = (before?.failures ?? 0) + 1;
      const reason = (error as Error).message;
      log.warn(
        { reason, failures },
        'the catalogue of Backstage cannot be read; owners stay those of the last copy',
      );
      const known = before ?? { url, version: this.#storedVersion, readMs: null, counts: null };
      await this.#store(held, { ...known, failures, failedMs: this.#nowMs(), error: reason }, null);
    }
  }

  async #ask() {
    const { url, tokenFile, caFile, limits } = this.#options;
    const { entities: read, leftOut } = await readCatalogue({
      url,
      token: readToken(tokenFile),
      ca: caFile === null ? null : readFileSync(caFile, 'utf8'),
      signal: this.#ending.signal,
      ...(limits !== undefined && { limits }),
    });
    const { entities, counts } = mapEntities(read);
    const { used: _, ...rest } = counts;
    return { entities, counts: { ...rest, left_out: leftOut } };
  }

  async #store(held: Held, state: CatalogueState, packed: string | null): Promise<void> {
    await this.#options.admin.transaction('settings', async (store) => {
      await store.leases.check(held);
      await store.catalogue.put(state, packed);
    });
  }

  #nowMs(): number {
    return (this.#options.now ?? Date.now)();
  }
}
