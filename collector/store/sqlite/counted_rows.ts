/**
 * The rows that a transaction adds for each call: the call itself, and its part of the sums. There are far more of them
 * than of all others. The embedded store adds them to its tables; a writer of PostgreSQL collects them
 * (`collector/store/postgres/added_rows.ts`).
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import { ArrivalNotes } from './arrival_notes.ts';

/** A raw call, in the order of the columns of its table. */
export type CallRow = [
  timeUs: number,
  id: Uint8Array,
  host: number,
  identity: number,
  caller: number,
  kind: number,
  shape: number,
  userAgent: number | null,
  path: string | null,
  query: string | null,
  durationMs: number | null,
  sourceAddress: string,
  sourcePort: number,
];

/** Calls that are counted together. */
export interface Cell {
  class: number;
  /** Hour or day since 1970. */
  bucket: number;
  identity: number;
  /** 0 for all hosts. */
  host: number;
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
}

export interface IdentityOnHost {
  identity: number;
  host: number;
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
}

/** The sums of one transaction. */
export interface CountedSums {
  hourly: Cell[];
  daily: Cell[];
  fleetHourly: Cell[];
  fleetDaily: Cell[];
}

export interface CountedRows {
  /** Returns false where the call is there already. */
  addCall(call: CallRow): boolean;
  /** Returns the cells of hosts that had no row for their hour yet. */
  addSums(sums: CountedSums): Cell[];
  addIdentities(onHosts: Iterable<IdentityOnHost>): void;
  /** Completes the rows of a transaction. `nowUs`: the collector's clock. */
  flush(nowUs: number): void;
  /** Forgets what was added since the last transaction. */
  forget(): void;
}

/** Microseconds of the bucket of each table of sums. Times in a row are relative to the start of its bucket. */
export const BUCKET_US: Readonly<Record<keyof CountedSums, number>> = {
  hourly: HOUR_US,
  daily: DAY_US,
  fleetHourly: HOUR_US,
  fleetDaily: DAY_US,
};

/**
 * Statement that must follow every change of a day's roll-ups: sums of the day that are cached become
 * invalid.
 */
export const CHANGE_DAY = `INSERT INTO changed_days (day, changes) VALUES (?, 1)
  ON CONFLICT (day) DO UPDATE SET changes = changes + 1`;

export class StoredRows implements CountedRows {
  readonly #arrivals: ArrivalNotes;
  readonly #addCall: StatementSync;
  readonly #sums: Record<keyof CountedSums, Sums>;
  readonly #growIdentityHost: StatementSync;
  readonly #addIdentityHost: StatementSync;
  readonly #changeDay: StatementSync;

  constructor(database: DatabaseSync, arrivals: ArrivalNotes = new ArrivalNotes(database)) {
    this.#arrivals = arrivals;
    this.#addCall = database.prepare(
      `INSERT INTO calls (time_us, id, host, identity, caller, kind, shape, user_agent, path, query, duration_ms,
         source_address, source_port)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
    );
    this.#sums = {
      hourly: new Sums(database, 'hourly', 'hour', BUCKET_US.hourly, true),
      daily: new Sums(database, 'daily', 'day', BUCKET_US.daily, true),
      fleetHourly: new Sums(database, 'fleet_hourly', 'hour', BUCKET_US.fleetHourly, false),
      fleetDaily: new Sums(database, 'fleet_daily', 'day', BUCKET_US.fleetDaily, false),
    };
    this.#changeDay = database.prepare(CHANGE_DAY);
    this.#growIdentityHost = database.prepare(
      `UPDATE identity_hosts SET first_us = min(first_us, ?1), last_us = max(last_us, ?2),
         last_v1_us = max(coalesce(last_v1_us, ?3), coalesce(?3, last_v1_us))
       WHERE identity = ?4 AND host = ?5`,
    );
    this.#addIdentityHost = database.prepare(
      `INSERT INTO identity_hosts (first_us, last_us, last_v1_us, identity, host) VALUES (?1, ?2, ?3, ?4, ?5)`,
    );
  }

  addCall(call: CallRow): boolean {
    if (this.#addCall.run(...call).changes === 0) return false;
    const [timeUs, id, host] = call;
    this.#arrivals.add(host, timeUs, id);
    return true;
  }

  addSums({ hourly, daily, fleetHourly, fleetDaily }: CountedSums): Cell[] {
    const added = this.#sums.hourly.add(hourly);
    this.#sums.daily.add(daily);
    this.#sums.fleetHourly.add(fleetHourly);
    this.#sums.fleetDaily.add(fleetDaily);
    for (const day of new Set(daily.map(({ bucket }) => bucket))) this.#changeDay.run(day);
    return added;
  }

  addIdentities(onHosts: Iterable<IdentityOnHost>): void {
    for (const { identity, host, firstUs, lastUs, lastV1Us } of onHosts) {
      const values = [firstUs, lastUs, lastV1Us, identity, host];
      if (this.#growIdentityHost.run(...values).changes === 0) this.#addIdentityHost.run(...values);
    }
  }

  flush(nowUs: number): void {
    this.#arrivals.flush(nowUs);
  }

  /** Added rows are in the transaction of the database. */
  forget(): void {
    this.#arrivals.reset();
  }
}

/**
 * One table of sums. A row is looked for before it is inserted: nearly all rows are there already, and an
 * insertion that finds its row would look for it twice.
 */
class Sums {
  readonly #grow: StatementSync;
  readonly #insert: StatementSync;
  readonly #bucketUs: number;
  readonly #withHost: boolean;

  constructor(
    database: DatabaseSync,
    table: string,
    bucket: 'hour' | 'day',
    bucketUs: number,
    withHost: boolean,
  ) {
    const host = (text: string) => (withHost ? text : '');
    this.#grow = database.prepare(
      `UPDATE ${table} SET count = count + ?1, first_us = min(first_us, ?2), last_us = max(last_us, ?3)
       WHERE class = ?4 AND ${bucket} = ?5 AND identity = ?6 AND kind = ?7${host(' AND host = ?8')}`,
    );
    this.#insert = database.prepare(
      `INSERT INTO ${table} (count, first_us, last_us, class, ${bucket}, identity, kind${host(', host')})
       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7${host(', ?8')})`,
    );
    this.#bucketUs = bucketUs;
    this.#withHost = withHost;
  }

  /** Adds cells to their rows. Returns the cells that had no row yet. */
  add(cells: Cell[]): Cell[] {
    return cells.filter(({ class: kindClass, bucket, identity, host, kind, count, firstUs, lastUs }) => {
      const startUs = bucket * this.#bucketUs;
      const values = [count, firstUs - startUs, lastUs - startUs, kindClass, bucket, identity, kind];
      if (this.#withHost) values.push(host);
      if (this.#grow.run(...values).changes === 1) return false;
      this.#insert.run(...values);
      return true;
    });
  }
}
