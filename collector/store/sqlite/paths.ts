/**
 * The paths that each workload requested without a token: a bounded list with counts, and one row for all
 * others.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { HostBounds } from './host_bounds.ts';

const MAX_PATHS = 100;
const MAX_PATH_CHARACTERS = 512;
const MAX_CACHED = 8192;

interface RequestedPath {
  host: number;
  identity: number;
  path: string | null;
  count: number;
  lastUs: number;
}

export class Paths {
  readonly #bounds: HostBounds;
  readonly #grow: StatementSync;
  readonly #listed: StatementSync;
  readonly #add: StatementSync;
  readonly #requested = new Map<string, RequestedPath>();
  /** Workloads whose list is full. */
  readonly #full = new Set<number>();

  constructor(database: DatabaseSync, bounds: HostBounds) {
    this.#bounds = bounds;
    this.#grow = database.prepare(
      `UPDATE paths_v1 SET count = count + ?, last_us = max(last_us, ?)
       WHERE identity = ? AND listed = 1 AND path = ?`,
    );
    this.#listed = database.prepare(
      'SELECT count(*) AS count FROM paths_v1 WHERE identity = ? AND listed = 1',
    );
    this.#add = database.prepare(
      `INSERT INTO paths_v1 (identity, listed, path, count, last_us) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET count = count + excluded.count, last_us = max(last_us, excluded.last_us)`,
    );
  }

  addPath(identity: number, host: number, path: string | null, timeUs: number): void {
    const listed = path === null || path.length > MAX_PATH_CHARACTERS ? null : path;
    const key = `${identity} ${listed === null ? 0 : 1} ${listed}`;
    const known = this.#requested.get(key);
    if (known === undefined) {
      this.#requested.set(key, { identity, host, path: listed, count: 1, lastUs: timeUs });
    } else {
      known.count += 1;
      if (timeUs > known.lastUs) known.lastUs = timeUs;
    }
  }

  flush(): void {
    for (const { identity, host, path, count, lastUs } of this.#requested.values()) {
      if (path !== null) {
        if (this.#grow.run(count, lastUs, identity, path).changes === 1) continue;
        if (!this.#isFull(identity) && this.#bounds.tryUse(host, 'paths')) {
          this.#add.run(identity, 1, path, count, lastUs);
          continue;
        }
      }
      this.#add.run(identity, 0, '', count, lastUs);
    }
    this.#requested.clear();
  }

  #isFull(identity: number): boolean {
    if (this.#full.has(identity)) return true;
    if (Number(this.#listed.get(identity)!['count']) < MAX_PATHS) return false;
    if (this.#full.size >= MAX_CACHED) this.#full.clear();
    this.#full.add(identity);
    return true;
  }

  /** Forgets everything that is not stored. Required after a rollback or a deletion. */
  forget(): void {
    this.#requested.clear();
    this.#full.clear();
  }
}
