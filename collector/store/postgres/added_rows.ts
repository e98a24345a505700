/**
 * The calls and the sums that a transaction adds, collected in memory. They are stored as differences, so that nothing of
 * them has to be read before.
 */
import type { CallRow, Cell, CountedRows, CountedSums, IdentityOnHost } from '../sqlite/counted_rows.ts';

/** Rows by hour, and workloads of hosts, that are known to be there. Beyond the bound they are forgotten. */
const MAX_KNOWN = 250_000;

export class AddedRows implements CountedRows {
  /** Calls, with their ids as hexadecimal digits. */
  readonly calls: [timeUs: number, id: string, ...(string | number | null)[]][] = [];
  readonly onHosts: IdentityOnHost[] = [];
  readonly #sums: CountedSums = { hourly: [], daily: [], fleetHourly: [], fleetDaily: [] };
  readonly #callKeys = new Set<string>();
  readonly #storedCalls = new Set<string>();
  readonly #hours = new Set<string>();
  readonly #identities = new Set<string>();
  /** Keys that this transaction added to the sets before. */
  readonly #added: { known: Set<string>; key: string }[] = [];
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
    return sums.hourly.filter(({ class: kindClass, bucket, identity, host, kind }) =>
      this.#add(this.#hours, `${kindClass} ${bucket} ${identity} ${host} ${kind}`),
    );
  }

  addIdentities(onHosts: Iterable<IdentityOnHost>): void {
    for (const onHost of onHosts) {
      const { identity, host } = onHost;
      this.onHosts.push(onHost);
      if (this.#add(this.#identities, `${identity} ${host}`)) this.#addIdentity(identity, host);
    }
  }

  /** Returns true where the key was not known. */
  #add(known: Set<string>, key: string): boolean {
    if (known.has(key)) return false;
    if (known.size >= MAX_KNOWN) known.clear();
    known.add(key);
    this.#added.push({ known, key });
    return true;
  }

  /** Begins the next transaction: what was added is stored. */
  commit(): void {
    this.#storedCalls.clear();
    this.#clear();
  }

  /** Forgets that workloads are known: rows of hosts were replaced. */
  forgetIdentities(): void {
    this.#identities.clear();
  }

  /** Takes back what was added since `commit`. */
  forget(): void {
    for (const { known, key } of this.#added) known.delete(key);
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
