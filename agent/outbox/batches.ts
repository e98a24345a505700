/**
 * Sequence numbers, and what each of them carries. A batch takes records of every lane, v1 calls first and
 * coverage last: a claim that we were looking never reaches the collector before what was seen.
 */
import { randomUUID } from 'node:crypto';
import type { Lane, Range } from './lane.ts';
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

  /** The end of what batches on their way carry of a lane; 0 if they carry none. */
  sentUpTo(name: LaneName): number {
    return this.#inFlight.reduce((end, { ranges }) => Math.max(end, ranges[name]?.to ?? 0), 0);
  }

  /** The records of a lane are given up: batches on their way carry none of them any more. */
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
      // A call may not have fitted where the small report still does.
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
      // A range without a record still moves the lane on: past what turned out to be unreadable.
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

  /** A number above what was sent acknowledges what was sent. Returns the files that are spent by it. */
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
   * Goes on where the collector has the stream. Three cases: it has what we sent or less of it; it has more (our ledger
   * is from before a power cut: what it has and we would send again is known by its id); it has less than it
   * had acknowledged (`forgotten` batches; what is still here goes out under a new stream).
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
