/**
 * The calls and the sums that a transaction adds, collected in memory. They are stored as differences, so that nothing of
 * them has to be read before.
 */
import type { CallRow, Cell, CountedRows, CountedSums, IdentityOnHost } from '../sqlite/counted_rows.ts';

/** Rows by hour that are known to be there. Beyond the bound all are forgotten, and count as new again. */
const MAX_HOURS = 250_000;
/** Kinds have smaller numbers than this: a key of a row by hour is one number. */
const KINDS = 2 ** 20;

interface KnownRows {
  identities: Set<number>;
  /** Keys of rows by hour: by their hour and class, then by workload and kind. */
  hours: Map<number, Set<number>>;
}

export class AddedRows implements CountedRows {
  /** Calls, with their ids as hexadecimal digits. */
  readonly calls: [timeUs: number, id: string, ...(string | number | null)[]][] = [];
  readonly onHosts: IdentityOnHost[] = [];
  readonly #sums: CountedSums = { hourly: [], daily: [], fleetHourly: [], fleetDaily: [] };
  readonly #callKeys = new Set<string>();
  readonly #storedCalls = new Set<string>();
  /** Rows that are known to be there, by host. */
  readonly #known = new Map<number, KnownRows>();
  #hours = 0;
  /** Keys that this transaction added to what is known. */
  readonly #added: { keys: Set<number>; key: number }[] = [];
  readonly #addIdentity: (identity: number, host: number) => void;

  /** `addIdentity` is called where a workload is perhaps new on a host. */
  constructor(addIdentity: (identity: number, host: number) => void) {
    this.#addIdentity = addIdentity;
  }

  get sums(): Readonly<CountedSums> {
    return this.#sums;
  }

  /** Notes a call that is stored, so that it is not counted again. Holds until `commit`. */
  noteStoredCall(timeUs: number, id: Uint8Array): void {
    this.#storedCalls.add(callKey(timeUs, hexOf(id)));
  }

  addCall([timeUs, id, ...others]: CallRow): boolean {
    const digits = hexOf(id);
    const key = callKey(timeUs, digits);
    if (this.#callKeys.has(key) || this.#storedCalls.has(key)) return false;
    this.#callKeys.add(key);
    this.calls.push([timeUs, digits, ...others]);
    return true;
  }

  addSums(sums: CountedSums): Cell[] {
    for (const table of ['hourly', 'daily', 'fleetHourly', 'fleetDaily'] as const) {
      for (const cell of sums[table]) this.#sums[table].push(cell);
    }
    if (this.#hours > MAX_HOURS) {
      this.#hours = 0;
      for (const { hours } of this.#known.values()) hours.clear();
    }
    return sums.hourly.filter(({ class: kindClass, bucket, identity, host, kind }) => {
      const { hours } = this.#knownOf(host);
      const hour = bucket * 4 + kindClass;
      const keys = hours.get(hour) ?? new Set();
      hours.set(hour, keys);
      if (!this.#add(keys, identity * KINDS + kind)) return false;
      this.#hours += 1;
      return true;
    });
  }

  addIdentities(onHosts: Iterable<IdentityOnHost>): void {
    for (const onHost of onHosts) {
      const { identity, host } = onHost;
      this.onHosts.push(onHost);
      if (this.#add(this.#knownOf(host).identities, identity)) this.#addIdentity(identity, host);
    }
  }

  #knownOf(host: number): KnownRows {
    let known = this.#known.get(host);
    if (known === undefined) {
      known = { identities: new Set(), hours: new Map() };
      this.#known.set(host, known);
    }
    return known;
  }

  /** Returns true where the key was not known. */
  #add(keys: Set<number>, key: number): boolean {
    if (keys.has(key)) return false;
    keys.add(key);
    this.#added.push({ keys, key });
    return true;
  }

  /** Does nothing: `storeCalls` notes arrivals. */
  flush(): void {}

  /** Begins the next transaction: what was added is stored. */
  commit(): void {
    this.#storedCalls.clear();
    this.#clear();
  }

  /** Forgets what is known of a host. */
  forgetHost(host: number): void {
    this.#known.delete(host);
  }

  /** Takes back what was added since `commit`. */
  forget(): void {
    for (const { keys, key } of this.#added) keys.delete(key);
    this.#clear();
  }

  #clear(): void {
    this.#added.length = 0;
    this.calls.length = 0;
    this.onHosts.length = 0;
    for (const cells of Object.values(this.#sums)) cells.length = 0;
    this.#callKeys.clear();
  }
}

function callKey(timeUs: number, digits: string): string {
  return `${timeUs} ${digits}`;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
