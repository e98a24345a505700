/**
 * Sequence numbers, and the content of each of them. A batch takes records of every lane, v1 calls first and
 * coverage last: a coverage report never reaches the collector before the calls of its time.
 */
import { randomUUID } from 'node:crypto';
import type { Lane } from './lane.ts';
import type { Range } from './lanes.ts';
import { type LaneName, SEND_ORDER } from './lanes.ts';
import type { LedgerEntry } from './ledger.ts';

export interface Batch {
  seq: number;
  /** JSON of each record, UTF-8. */
  records: Buffer[];
}

interface InFlight {
  seq: number;
  ranges: Record<string, Range>;
}

export interface SpentFile {
  path: string;
  bytes: number;
}

export class Batches {
  readonly #lanes: Record<LaneName, Lane>;
  #stream: string = randomUUID();
  #nextSeq = 1;
  #inFlight: InFlight[] = [];

  constructor(lanes: Record<LaneName, Lane>) {
    this.#lanes = lanes;
  }

  get stream(): string {
    return this.#stream;
  }
  get inFlight(): number {
    return this.#inFlight.length;
  }

  restore({ stream, next_seq, in_flight }: LedgerEntry): void {
    this.#stream = stream;
    this.#nextSeq = next_seq;
    this.#inFlight = in_flight;
  }

  state(): Pick<LedgerEntry, 'stream' | 'next_seq' | 'in_flight'> {
    return { stream: this.#stream, next_seq: this.#nextSeq, in_flight: this.#inFlight };
  }

  /** Returns the ranges of a lane's records in batches on their way. */
  inFlightOf(name: LaneName): Range[] {
    return this.#inFlight.flatMap(({ ranges }) => ranges[name] ?? []);
  }

  /** Removes the records of a lane, which are lost, from the batches on their way. */
  withdrawLane(name: LaneName): void {
    for (const { ranges } of this.#inFlight) {
      const range = ranges[name];
      if (range !== undefined) range.count = 0;
    }
  }

  takeBatch(maxRecords: number, maxBytes: number): Batch | null {
    const records: Buffer[] = [];
    const ranges: Record<string, Range> = {};
    let bytes = 0;
    for (const name of SEND_ORDER) {
      if (records.length >= maxRecords || bytes >= maxBytes) break;
      // A small coverage report may fit where a call did not.
      if (name === 'coverage' && this.#lanes.v1.unsent > 0) break;
      const atLeastOne = records.length === 0;
      const { payloads, range } = this.#lanes[name].takeRecords(
        maxRecords - records.length,
        maxBytes - bytes,
        atLeastOne,
      );
      for (const payload of payloads) {
        records.push(payload);
        bytes += payload.length;
      }
      // A range without a record moves the lane on, past records that turned out to be unreadable.
      if (range.to > range.from) ranges[name] = range;
    }
    if (Object.keys(ranges).length === 0) return null;
    const seq = this.#nextSeq;
    this.#nextSeq += 1;
    this.#inFlight.push({ seq, ranges });
    return { seq, records };
  }

  unacknowledgedBatches(): Batch[] {
    return this.#inFlight.map(({ seq, ranges }) => {
      const records: Buffer[] = [];
      for (const name of SEND_ORDER) {
        const range = ranges[name];
        if (range === undefined) continue;
        const payloads = this.#lanes[name].rereadRecords(range);
        this.#lanes[name].countLost(range.count - payloads.length);
        range.count = payloads.length;
        for (const payload of payloads) records.push(payload);
      }
      return { seq, records };
    });
  }

  /**
   * Acknowledges batches up to `seq`, which may be above the last one that was sent. Returns files that are
   * now spent.
   */
  acknowledgeBatches(seq: number): SpentFile[] {
    const spent: SpentFile[] = [];
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.seq <= seq) {
      for (const [name, range] of Object.entries(this.#inFlight.shift()!.ranges)) {
        spent.push(...this.#lanes[name as LaneName].acknowledgeRange(range));
      }
    }
    return spent;
  }

  /**
   * Continues where the collector has the stream. There are three cases. The collector has all or a part of
   * the sent batches. It has more, because the ledger is from before a power cut: it recognises by their ids
   * the records that come again. It has less than it had acknowledged: it has lost `forgotten` batches, and
   * the rest goes out under a new stream.
   */
  resumeAfter(lastSeq: number): { spent: SpentFile[]; forgotten: number } {
    const acknowledged = this.#nextSeq - 1 - this.#inFlight.length;
    if (lastSeq < acknowledged) {
      this.#stream = randomUUID();
      this.#inFlight = this.#inFlight.map(({ ranges }, index) => ({ seq: index + 1, ranges }));
      this.#nextSeq = this.#inFlight.length + 1;
      return { spent: [], forgotten: acknowledged - lastSeq };
    }
    const spent = this.acknowledgeBatches(lastSeq);
    this.#nextSeq = Math.max(this.#nextSeq, lastSeq + 1);
    return { spent, forgotten: 0 };
  }
}
