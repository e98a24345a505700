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
  readonly #addHourly: StatementSync;
  readonly #addDaily: StatementSync;
  readonly #addFleetHourly: StatementSync;
  readonly #addFleetDaily: StatementSync;
  readonly #addIdentityHost: StatementSync;
  readonly #changeDay: StatementSync;
  readonly #cells = new Map<string, Cell>();
  readonly #onHosts = new Map<string, IdentityOnHost>();

  constructor(database: DatabaseSync, bounds: HostBounds) {
    this.#bounds = bounds;
    const add = (table: string, bucket: string, host: string) =>
      database.prepare(
        `INSERT INTO ${table} (class, ${bucket}, identity, kind, count, first_us, last_us${host === '' ? '' : ', host'})
         VALUES (?, ?, ?, ?, ?, ?, ?${host === '' ? '' : ', ?'})
         ON CONFLICT DO UPDATE SET count = count + excluded.count, first_us = min(first_us, excluded.first_us),
           last_us = max(last_us, excluded.last_us) RETURNING count`,
      );
    this.#addHourly = add('hourly', 'hour', 'host');
    this.#addDaily = add('daily', 'day', 'host');
    this.#addFleetHourly = add('fleet_hourly', 'hour', '');
    this.#addFleetDaily = add('fleet_daily', 'day', '');
    this.#changeDay = database.prepare(CHANGE_DAY);
    this.#addIdentityHost = database.prepare(
      `INSERT INTO identity_hosts (identity, host, first_us, last_us, last_v1_us) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET first_us = min(first_us, excluded.first_us), last_us = max(last_us, excluded.last_us),
         last_v1_us = max(coalesce(last_v1_us, excluded.last_v1_us), coalesce(excluded.last_v1_us, last_v1_us))`,
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
    for (const { host } of store(this.#addHourly, hourly, HOUR_US, true))
      this.#bounds.countUse(host, 'sums', 1);
    store(this.#addDaily, daily, DAY_US, true);
    store(this.#addFleetHourly, regroup(hourly, anyHost), HOUR_US, false);
    store(this.#addFleetDaily, regroup(daily, anyHost), DAY_US, false);
    for (const day of new Set(daily.map(({ bucket }) => bucket))) this.#changeDay.run(day);
    for (const { identity, host, firstUs, lastUs, lastV1Us } of this.#onHosts.values()) {
      this.#addIdentityHost.run(identity, host, firstUs, lastUs, lastV1Us);
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

/** Adds cells to their rows. Returns the cells that had no row yet. */
function store(statement: StatementSync, cells: Cell[], bucketUs: number, withHost: boolean): Cell[] {
  return cells.filter(({ class: kindClass, bucket, identity, host, kind, count, firstUs, lastUs }) => {
    const startUs = bucket * bucketUs;
    const values = [kindClass, bucket, identity, kind, count, firstUs - startUs, lastUs - startUs];
    if (withHost) values.push(host);
    // A row that was there has counted something already.
    return statement.get(...values)!['count'] === count;
  });
}
