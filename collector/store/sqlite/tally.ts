/**
 * The roll-ups of one transaction. Calls are counted in memory and then added to their rows at once: a
 * thousand calls of a few workloads change a few rows.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { DAY_US, HOUR_US } from '../../contract/window.ts';
import type { HostBounds } from './host_bounds.ts';
import type { KindRow } from './kinds.ts';

/**
 * Statement that must follow every change of a day's roll-ups: sums of the day that are cached become
 * invalid.
 */
export const CHANGE_DAY = `INSERT INTO changed_days (day, changes) VALUES (?, 1)
  ON CONFLICT (day) DO UPDATE SET changes = changes + 1`;

interface Cell {
  class: number;
  /** Hour or day since 1970. */
  bucket: number;
  identity: number;
  host: number;
  kind: number;
  count: number;
  firstUs: number;
  lastUs: number;
}

interface IdentityOnHost {
  identity: number;
  host: number;
  firstUs: number;
  lastUs: number;
  lastV1Us: number | null;
}

export class Tally {
  readonly #bounds: HostBounds;
  readonly #hourly: Sums;
  readonly #daily: Sums;
  readonly #fleetHourly: Sums;
  readonly #fleetDaily: Sums;
  readonly #growIdentityHost: StatementSync;
  readonly #addIdentityHost: StatementSync;
  readonly #changeDay: StatementSync;
  readonly #cells = new Map<string, Cell>();
  readonly #onHosts = new Map<string, IdentityOnHost>();

  constructor(database: DatabaseSync, bounds: HostBounds) {
    this.#bounds = bounds;
    this.#hourly = new Sums(database, 'hourly', 'hour', HOUR_US, true);
    this.#daily = new Sums(database, 'daily', 'day', DAY_US, true);
    this.#fleetHourly = new Sums(database, 'fleet_hourly', 'hour', HOUR_US, false);
    this.#fleetDaily = new Sums(database, 'fleet_daily', 'day', DAY_US, false);
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

  /** Several calls (a line of an agent's roll-up) count into the hour of the first. */
  addCalls(
    kind: KindRow,
    identity: number,
    host: number,
    count: number,
    firstUs: number,
    lastUs: number,
  ): void {
    const hour = Math.floor(firstUs / HOUR_US);
    const key = `${hour} ${identity} ${host} ${kind.id}`;
    const cell = this.#cells.get(key);
    if (cell === undefined) {
      this.#cells.set(key, {
        class: kind.class,
        bucket: hour,
        identity,
        host,
        kind: kind.id,
        count,
        firstUs,
        lastUs,
      });
    } else {
      grow(cell, count, firstUs, lastUs);
    }
  }

  flush(): void {
    const sums = new Map<string, Cell>();
    for (const cell of this.#cells.values()) {
      this.#onHost(cell);
      if (cell.class === 2) merge(sums, { ...cell, class: 0, identity: 0, kind: 0 });
    }
    const hourly = [...this.#cells.values(), ...sums.values()];
    const daily = regroup(hourly, (cell) => ({ ...cell, bucket: Math.floor(cell.bucket / 24) }));
    const anyHost = (cell: Cell) => ({ ...cell, host: 0 });
    for (const { host } of this.#hourly.add(hourly)) this.#bounds.countUse(host, 'sums', 1);
    this.#daily.add(daily);
    this.#fleetHourly.add(regroup(hourly, anyHost));
    this.#fleetDaily.add(regroup(daily, anyHost));
    for (const day of new Set(daily.map(({ bucket }) => bucket))) this.#changeDay.run(day);
    for (const { identity, host, firstUs, lastUs, lastV1Us } of this.#onHosts.values()) {
      const values = [firstUs, lastUs, lastV1Us, identity, host];
      if (this.#growIdentityHost.run(...values).changes === 0) this.#addIdentityHost.run(...values);
    }
    this.forget();
  }

  #onHost({ class: kindClass, identity, host, firstUs, lastUs }: Cell): void {
    const key = `${identity} ${host}`;
    const lastV1Us = kindClass === 1 ? lastUs : null;
    const known = this.#onHosts.get(key);
    if (known === undefined) {
      this.#onHosts.set(key, { identity, host, firstUs, lastUs, lastV1Us });
      return;
    }
    known.firstUs = Math.min(known.firstUs, firstUs);
    known.lastUs = Math.max(known.lastUs, lastUs);
    if (lastV1Us !== null) known.lastV1Us = Math.max(known.lastV1Us ?? lastV1Us, lastV1Us);
  }

  /** Forgets all counts. Required after a rollback. */
  forget(): void {
    this.#cells.clear();
    this.#onHosts.clear();
  }
}

function grow(cell: Cell, count: number, firstUs: number, lastUs: number): void {
  cell.count += count;
  if (firstUs < cell.firstUs) cell.firstUs = firstUs;
  if (lastUs > cell.lastUs) cell.lastUs = lastUs;
}

function merge(into: Map<string, Cell>, cell: Cell): void {
  const key = `${cell.class} ${cell.bucket} ${cell.identity} ${cell.host} ${cell.kind}`;
  const known = into.get(key);
  if (known === undefined) into.set(key, cell);
  else grow(known, cell.count, cell.firstUs, cell.lastUs);
}

function regroup(cells: Cell[], change: (cell: Cell) => Cell): Cell[] {
  const groups = new Map<string, Cell>();
  for (const cell of cells) merge(groups, change(cell));
  return [...groups.values()];
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
