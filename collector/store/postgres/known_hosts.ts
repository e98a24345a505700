/** Keeps what a working set has loaded of hosts and of their streams, and the versions for which that is good. */

export interface HostRow {
  /** Number of the row. */
  id: number;
  host_id: string;
  name: string;
  facts: string;
  first_us: number | null;
  last_us: number | null;
  version: number;
}

export interface KnownHost {
  row: number;
  /** All that is loaded of the host is good for as long as its row has this version. */
  version: number;
  /** The facts that are stored, as JSON, and those that are stored with the transaction. */
  facts: string;
  newFacts: string;
  /** Days of coverage that are loaded. */
  days: Set<number>;
  /** Streams whose position is loaded. */
  streams: Set<string>;
}

export class KnownHosts {
  readonly #byId = new Map<string, KnownHost>();
  /** Stored positions of streams; 0 for a stream that is not stored. */
  readonly #positions = new Map<string, number>();

  get size(): number {
    return this.#byId.size;
  }

  get(hostId: string): KnownHost | undefined {
    return this.#byId.get(hostId);
  }

  add({ id, host_id: hostId, facts, version }: HostRow): void {
    this.#byId.set(hostId, {
      ...{ row: id, version, facts, newFacts: facts },
      ...{ days: new Set<number>(), streams: new Set<string>() },
    });
  }

  forget(hostId: string): void {
    for (const stream of this.#byId.get(hostId)?.streams ?? []) this.#positions.delete(stream);
    this.#byId.delete(hostId);
  }

  addStream(host: KnownHost, stream: string, lastSeq: number): void {
    host.streams.add(stream);
    this.#positions.set(stream, lastSeq);
  }

  /** Returns the stored position of a stream, which is loaded. */
  position(stream: string): number {
    return this.#positions.get(stream) ?? 0;
  }

  /** Notes that a transaction is stored. */
  noteStored(hosts: readonly KnownHost[], positions: ReadonlyMap<string, { lastSeq: number }>): void {
    for (const host of hosts) {
      host.version += 1;
      host.facts = host.newFacts;
    }
    for (const [stream, { lastSeq }] of positions) this.#positions.set(stream, lastSeq);
  }
}
