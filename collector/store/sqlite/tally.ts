/**
 * The roll-ups of one transaction. Calls are counted in memory and then added to their rows at once: a
 * thousand calls of a few workloads change a few rows.
 */
import { HOUR_US } from '../../contract/window.ts';
import type { Cell, CountedRows, IdentityOnHost } from './counted_rows.ts';
import type { HostBounds } from './host_bounds.ts';
import type { KindRow } from './kinds.ts';

export class Tally {
  readonly #bounds: HostBounds;
  readonly #rows: CountedRows;
  readonly #cells = new Map<string, Cell>();
  readonly #onHosts = new Map<string, IdentityOnHost>();

  constructor(rows: CountedRows, bounds: HostBounds) {
    this.#rows = rows;
    this.#bounds = bounds;
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
    const added = this.#rows.addSums({
      hourly,
      daily,
      fleetHourly: regroup(hourly, anyHost),
      fleetDaily: regroup(daily, anyHost),
    });
    for (const { host } of added) this.#bounds.countUse(host, 'sums', 1);
    this.#rows.addIdentities(this.#onHosts.values());
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
