/**
 * The calls and the sums that a transaction adds, collected in memory. They are stored as differences, so that nothing of
 * them has to be read before.
 */
import type { CallRow, Cell, CountedRows, CountedSums, IdentityOnHost } from '../sqlite/counted_rows.ts';

/** Rows by hour that are known to be there. Beyond the bound all are forgotten, and count as new again. */
const MAX_HOURS = 250_000;
/** Kinds have smaller numbers than this: a key of a row by hour is one number. */
const KINDS = 2 ** 20;

type HostSums = 'hourly' | 'daily';

interface KnownRows {
  identities: Set<number>;
  /** Keys of sums: by their hour or day and class, then by workload and kind. */
  sums: Record<HostSums, Map<number, Set<number>>>;
}

export class AddedRows implements CountedRows {
  /** Calls, with their ids as hexadecimal digits. */
  readonly calls: [timeUs: number, id: string, ...(string | number | null)[]][] = [];
  /** Workloads on hosts that have perhaps no row yet, and those whose rows are known to be there. */
  readonly onHosts: IdentityOnHost[] = [];
  readonly grownOnHosts: IdentityOnHost[] = [];
  readonly #sums: CountedSums = { hourly: [], daily: [], fleetHourly: [], fleetDaily: [] };
  readonly #grownSums: Pick<CountedSums, HostSums> = { hourly: [], daily: [] };
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

  /** Sums that have perhaps no row yet. */
  get sums(): Readonly<CountedSums> {
    return this.#sums;
  }

  /** Sums whose rows are known to be there: to add to them costs half as much as to insert them again. */
  get grownSums(): Readonly<Pick<CountedSums, HostSums>> {
    return this.#grownSums;
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

  addSums({ hourly, daily, fleetHourly, fleetDaily }: CountedSums): Cell[] {
    this.#sums.fleetHourly.push(...fleetHourly);
    this.#sums.fleetDaily.push(...fleetDaily);
    if (this.#hours > MAX_HOURS) {
      this.#hours = 0;
      for (const { sums } of this.#known.values()) {
        sums.hourly.clear();
        sums.daily.clear();
      }
    }
    this.#divide('daily', daily);
    const added = this.#divide('hourly', hourly);
    this.#hours += added.length;
    return added;
  }

  /** Returns the sums that have perhaps no row yet. */
  #divide(table: HostSums, cells: readonly Cell[]): Cell[] {
    const added = cells.filter((cell) => {
      const { class: kindClass, bucket, identity, host, kind } = cell;
      const known = this.#knownOf(host).sums[table];
      const place = bucket * 4 + kindClass;
      const keys = known.get(place) ?? new Set();
      known.set(place, keys);
      const isAdded = this.#add(keys, identity * KINDS + kind);
      if (!isAdded) this.#grownSums[table].push(cell);
      return isAdded;
    });
    this.#sums[table].push(...added);
    return added;
  }

  addIdentities(onHosts: Iterable<IdentityOnHost>): void {
    for (const onHost of onHosts) {
      const { identity, host } = onHost;
      if (this.#add(this.#knownOf(host).identities, identity)) {
        this.onHosts.push(onHost);
        this.#addIdentity(identity, host);
      } else {
        this.grownOnHosts.push(onHost);
      }
    }
  }

  #knownOf(host: number): KnownRows {
    let known = this.#known.get(host);
    if (known === undefined) {
      known = { identities: new Set(), sums: { hourly: new Map(), daily: new Map() } };
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
    this.grownOnHosts.length = 0;
    for (const cells of Object.values(this.#sums)) cells.length = 0;
    for (const cells of Object.values(this.#grownSums)) cells.length = 0;
    this.#callKeys.clear();
  }
}

function callKey(timeUs: number, digits: string): string {
  return `${timeUs} ${digits}`;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}
