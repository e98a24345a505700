/**
 * Encodes the records of a simulated agent beforehand, as the real outbox sends them. Only ids, times and the
 * start times of new processes change from one sending to the next.
 */
import { CallerReferences, fullBatchFrame, recordText } from '../../agent/outbox/wire_batch.ts';
import type { Call } from '../../protocol/call.ts';
import { callerOf, hostOf, v1Call, type Workload, workloadOf } from './fleet.ts';
import { Random } from './random.ts';

/** Number of processes of a host that go on calling. */
const LASTING_PROCESSES = 12;
/** Records of a script that does not fill the connection's table of callers. */
const MAX_ENTRIES = 2000;
const TIME = '2026-11-22T00:00:00.000000Z';
/**
 * A process that makes one call. Every sending replaces its start time, so that it is a new process each
 * time.
 */
const NEW_START_TIME = '2001-01-01T00:00:00.000000Z';
const LASTING_START_TIME = '2026-11-21T00:00:00.000000Z';

export interface Entry {
  /** The record with the places of its id and its time. */
  record: Buffer;
  idAt: number;
  timeAt: number;
  /**
   * Definition of a caller that the connection does not know yet, with the place of a new process's start
   * time.
   */
  definition: Buffer | null;
  startAt: number;
  /** Bytes in the agent's spool. The outbox bounds a batch by them. */
  spoolBytes: number;
}

/**
 * The records of one cycle. The next cycle begins without known callers, like an agent whose table is full.
 */
export function makeScript(seed: number, newProcessShare: number): Entry[] {
  const references = new CallerReferences();
  const entries: Entry[] = [];
  for (const text of recordTexts(seed, newProcessShare, MAX_ENTRIES)) {
    const payload = Buffer.from(text);
    const frame = references.batchFrame({ seq: 1, records: [payload] }).toString('latin1');
    if (frame.includes('"forget":true,')) break;
    entries.push(entryOf(frame, payload.length));
  }
  return entries;
}

/** Returns calls as they are in the spool, and as protocol 1 sends them. */
export function recordTexts(seed: number, newProcessShare: number, count: number): string[] {
  const random = new Random(seed);
  const lasting = Array.from({ length: LASTING_PROCESSES }, (_, index) => {
    const workload = workloadOf('service', index);
    return { workload, caller: callerOf(workload, 2000 + 100 * index, LASTING_START_TIME, random) };
  });
  const newcomer = (index: number): { workload: Workload; caller: (typeof lasting)[0]['caller'] } => {
    const workload = workloadOf('job', index % 5);
    return { workload, caller: callerOf(workload, 100_000 + index, NEW_START_TIME, random) };
  };
  return Array.from({ length: count }, (_, index) => {
    const { workload, caller } =
      random.next() < newProcessShare ? newcomer(index) : lasting[random.below(LASTING_PROCESSES)]!;
    const body = v1Call('00000000-0000-7000-8000-000000000000', TIME, workload, random);
    const call: Call = { ...body, ...caller, host: hostOf(1) };
    return recordText({ kind: 'call', call });
  });
}

/**
 * Returns the bytes per call on the wire: of the same calls in the same batches, by each version of the
 * protocol.
 */
export function bytesPerCall(
  newProcessShare: number,
  calls: number,
  callsPerBatch: number,
): { protocol_1: number; protocol_2: number } {
  const records = recordTexts(1, newProcessShare, calls).map((text) => Buffer.from(text));
  const references = new CallerReferences();
  let full = 0;
  let referring = 0;
  for (let from = 0; from < calls; from += callsPerBatch) {
    const batch = { seq: from + 1, records: records.slice(from, from + callsPerBatch) };
    full += fullBatchFrame(batch).length;
    referring += references.batchFrame(batch).length;
  }
  return { protocol_1: full / calls, protocol_2: referring / calls };
}

function entryOf(frame: string, spoolBytes: number): Entry {
  const recordsAt = frame.indexOf('"records":[');
  const record = frame.slice(recordsAt + '"records":['.length, -']}'.length);
  const callersAt = frame.indexOf('"callers":[');
  const definition =
    callersAt === -1 ? null : frame.slice(callersAt + '"callers":['.length, recordsAt - '],'.length);
  return {
    record: Buffer.from(record, 'latin1'),
    idAt: after(record, '"id":"'),
    timeAt: after(record, '"time":"'),
    definition: definition === null ? null : Buffer.from(definition, 'latin1'),
    startAt: definition === null ? -1 : definition.indexOf(NEW_START_TIME),
    spoolBytes,
  };
}

function after(text: string, mark: string): number {
  const at = text.indexOf(mark);
  if (at === -1) throw new Error(`a record without ${mark}`);
  return at + mark.length;
}
