/**
 * A store in memory for ingest. It stores a batch once by stream and number, and a record once by its id, as
 * the real store does.
 */
import type { IngestStore } from '../../../collector/ingest/writer.ts';
import { factsOfCaller, type StoredCaller } from '../../../collector/store/defined_caller.ts';
import { unpackHeartbeat } from '../../../collector/store/packed_heartbeat.ts';
import type { BatchResult, CallBody, HeardHost, StoredBatch } from '../../../collector/store/store.ts';
import type { CallerFacts } from '../../../collector/store/workload_identity.ts';
import type { HostFacts } from '../../../protocol/call.ts';
import type { Coverage, Heartbeat } from '../../../protocol/records.ts';

export interface StoredCall {
  call: CallBody;
  caller: CallerFacts;
  host: HostFacts;
}

export class MemoryStore implements IngestStore {
  readonly #facts = new Map<StoredCaller, CallerFacts>();
  readonly calls: StoredCall[] = [];
  readonly rollups: { count: number; caller: CallerFacts }[] = [];
  readonly coverage: Coverage[] = [];
  /** When each host was heard last, and the contents of heartbeats that were stored. */
  readonly heard = new Map<string, number>();
  readonly said: Heartbeat[] = [];
  /** Every transaction waits for it. */
  gate: Promise<void> = Promise.resolve();
  /** Thrown by every transaction. */
  fault: Error | null = null;
  writes = 0;
  readonly #streams = new Map<string, { hostId: string; seq: number }>();
  readonly #ids = new Set<string>();

  async lastSeq(stream: string, hostId: string): Promise<number | null> {
    const known = this.#streams.get(stream);
    if (known === undefined) return 0;
    return known.hostId === hostId ? known.seq : null;
  }

  async write(batches: StoredBatch[]): Promise<BatchResult[]> {
    this.writes += 1;
    await this.gate;
    if (this.fault !== null) throw this.fault;
    return batches.map((batch) => this.#put(batch));
  }

  /** Returns the same facts for the same caller, as the store has one row for it. */
  #factsOf(caller: StoredCaller): CallerFacts {
    const facts = this.#facts.get(caller) ?? factsOfCaller(caller);
    this.#facts.set(caller, facts);
    return facts;
  }

  #put({ stream, seq, host, callers, records, partial }: StoredBatch): BatchResult {
    const lastSeq = this.#streams.get(stream)?.seq ?? 0;
    if (seq <= lastSeq) return { result: 'known', lastSeq, records: 0, duplicates: 0 };
    if (seq > lastSeq + 1) return { result: 'ahead', lastSeq, records: 0, duplicates: 0 };
    if (partial !== true) this.#streams.set(stream, { hostId: host.id, seq });
    let fresh = 0;
    for (const record of records) {
      const { id } =
        record.kind === 'call' ? record.call : record.kind === 'rollup' ? record.rollup : record.coverage;
      if (this.#ids.has(id)) continue;
      this.#ids.add(id);
      fresh += 1;
      if (record.kind === 'call') {
        this.calls.push({ call: record.call, caller: this.#factsOf(callers[record.caller]!), host });
      } else if (record.kind === 'rollup') {
        this.rollups.push({ count: record.rollup.count, caller: this.#factsOf(callers[record.caller]!) });
      } else {
        this.coverage.push(record.coverage);
      }
    }
    return { result: 'stored', lastSeq: seq, records: fresh, duplicates: records.length - fresh };
  }

  async heartbeats(heard: readonly HeardHost[]): Promise<void> {
    for (const { hostId, heardUs, said } of heard) {
      this.heard.set(hostId, heardUs);
      if (said !== null) this.said.push(unpackHeartbeat(said.body));
    }
  }

  async heardHosts(sinceUs: number): Promise<number> {
    return [...this.heard.values()].filter((us) => us >= sinceUs).length;
  }

  /** The numbers of the calls (their path is `/NUMBER`), sorted. */
  get numbers(): number[] {
    return this.calls.map(({ call }) => Number(call['url.path']!.slice(1))).sort((a, b) => a - b);
  }
}
