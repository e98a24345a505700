/**
 * Reads which hosts and workloads made IMDSv1 calls on each day. Past days hardly ever change: they are kept in memory
 * until `changed_days` counts a change.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { TotalQueries } from './total_queries.ts';

/** Bound on the kept numbers of all days together: 4 bytes each. */
const MAX_NUMBERS = 4_000_000;

export interface CallersOfDay {
  /** Numbers of hosts and of workloads. */
  hosts: Uint32Array;
  identities: Uint32Array;
}

export class CallingDaysReader {
  readonly #queries: TotalQueries;
  readonly #changes: StatementSync;
  readonly #kept = new Map<number, CallersOfDay & { changes: number }>();

  constructor(database: DatabaseSync, queries: TotalQueries) {
    this.#queries = queries;
    this.#changes = database.prepare(
      'SELECT day, changes FROM changed_days WHERE day >= ? AND day < ? ORDER BY day',
    );
  }

  /** Returns the days from `fromDay` until before `toDay` that have callers, oldest first. `hosts` null: all. */
  read(fromDay: number, toDay: number, hosts: number[] | null): Map<number, CallersOfDay> {
    const days = new Map<number, CallersOfDay>();
    if (hosts !== null) {
      for (let day = fromDay; day < toDay; day++) this.#put(days, day, this.#ofDay(day, hosts));
      return days;
    }
    const changes = new Map(
      this.#changes.all(fromDay, toDay).map((row) => [Number(row['day']), Number(row['changes'])]),
    );
    for (const day of this.#kept.keys()) if (day < fromDay || day >= toDay) this.#kept.delete(day);
    let numbers = 0;
    for (let day = fromDay; day < toDay; day++) {
      const changed = changes.get(day) ?? 0;
      const known = this.#kept.get(day);
      const callers = known?.changes === changed ? known : { changes: changed, ...this.#ofDay(day, null) };
      numbers += callers.hosts.length + callers.identities.length;
      if (numbers <= MAX_NUMBERS) this.#kept.set(day, callers);
      else this.#kept.delete(day);
      this.#put(days, day, callers);
    }
    return days;
  }

  #put(days: Map<number, CallersOfDay>, day: number, { hosts, identities }: CallersOfDay): void {
    if (hosts.length > 0) days.set(day, { hosts, identities });
  }

  #ofDay(day: number, hosts: number[] | null): CallersOfDay {
    return {
      hosts: Uint32Array.from(this.#queries.callersOfDay('host', day, hosts)),
      identities: Uint32Array.from(this.#queries.callersOfDay('identity', day, hosts)),
    };
  }
}
