/** The state of each host after its last coverage report, as a row. See `run_account.ts`. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { RunState } from './run_account.ts';

/** Access to the states: in the store, or in memory while a store is migrated. */
export interface RunStates {
  get(host: number): RunState | undefined;
  set(host: number, state: RunState): void;
}

export const RUNS_TABLE = `
  CREATE TABLE runs (host INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT;
`;

/** Schema step 4: the account of connections and times continues from one report to the next. */
export function toRuns(database: DatabaseSync): void {
  database.exec(RUNS_TABLE);
  const rows = new RunRows(database);
  for (const { host, last_us, boot_id } of database.prepare('SELECT * FROM watched').all()) {
    rows.set(Number(host), {
      bootId: String(boot_id),
      runId: null,
      endUs: Number(last_us),
      uptimeUs: null,
      carryUs: 0,
      pending: 0,
      spare: 0,
      openCalls: 0,
    });
  }
}

export class RunRows implements RunStates {
  readonly #get: StatementSync;
  readonly #set: StatementSync;

  constructor(database: DatabaseSync) {
    this.#get = database.prepare('SELECT state FROM runs WHERE host = ?');
    this.#set = database.prepare('INSERT OR REPLACE INTO runs VALUES (?, ?)');
  }

  get(host: number): RunState | undefined {
    const row = this.#get.get(host);
    return row === undefined ? undefined : (JSON.parse(String(row['state'])) as RunState);
  }

  set(host: number, state: RunState): void {
    this.#set.run(host, JSON.stringify(state));
  }
}
