/** Numbers of rows: they are others in a working set than in PostgreSQL. */
import { type Numbered, REFERENCES } from './working_tables.ts';

/** Place of the user agent's number in the key of a kind: a JSON list (`collector/store/sqlite/kinds.ts`). */
const USER_AGENT_IN_KEY = 7;

/** Puts another number of its user agent into the key of a kind. */
export function withUserAgent(key: string, numberOf: (id: number) => number): string {
  const values = JSON.parse(key) as unknown[];
  const userAgent = values[USER_AGENT_IN_KEY];
  if (typeof userAgent !== 'number') return key;
  values[USER_AGENT_IN_KEY] = numberOf(userAgent);
  return JSON.stringify(values);
}

/** The column `kind` of shapes is a text. */
export function referredBy(table: string, column: string): Numbered | null {
  if (table === 'shapes' && column === 'kind') return null;
  return REFERENCES[column] ?? null;
}

/** The numbers of the rows of one table, here and in PostgreSQL. */
export class NumberMap {
  readonly #stored = new Map<number, number>();
  readonly #local = new Map<number, number>();
  #added: number[] = [];

  /** Begins a transaction of the working set. */
  begin(): void {
    this.#added = [];
  }

  /** Forgets the numbers since `begin`, whose rows are gone. Returns their numbers here, which are given out again. */
  rollback(): number[] {
    const gone = this.#added;
    for (const local of gone) {
      this.#local.delete(this.#stored.get(local)!);
      this.#stored.delete(local);
    }
    this.#added = [];
    return gone;
  }

  set(local: number, stored: number): void {
    if (!this.#stored.has(local)) this.#added.push(local);
    this.#stored.set(local, stored);
    this.#local.set(stored, local);
  }

  /** Throws where the row is not stored: then a row would refer to nothing. */
  storedOf(local: number): number {
    const stored = this.#stored.get(local);
    if (stored === undefined)
      throw new Error(`Row ${local} of the working set has no number in the database.`);
    return stored;
  }

  hasStored(local: number): boolean {
    return this.#stored.has(local);
  }

  localOf(stored: number): number | undefined {
    return this.#local.get(stored);
  }
}
