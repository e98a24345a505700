/** Writes the records of batches into the rows of a transaction that is open. */
import type { DatabaseSync } from 'node:sqlite';
import type { Coverage, RollupLine } from '../../../protocol/records.ts';
import type { BatchResult, RollupBody } from '../store.ts';
import { toMicroseconds } from '../time.ts';
import { type CallerRow, Callers } from './callers.ts';
import { type CountedRows, StoredRows } from './counted_rows.ts';
import { reportOf } from './coverage_report.ts';
import { FutureRecords, isFuture } from './future_records.ts';
import { GapWriter } from './gap_writer.ts';
import { HostBounds } from './host_bounds.ts';
import { type KindRow, Kinds } from './kinds.ts';
import { MeasuredHopsWriter } from './measured_hops.ts';
import type { PackedBatch, PackedBatches, PackedCalls } from './packed_batch.ts';
import type { PackedCaller } from './packed_callers.ts';
import { Paths } from './paths.ts';
import { prepareRecordStatements, type RecordStatements } from './record_statements.ts';
import { RunRows } from './run_rows.ts';
import { type HostRow, Senders } from './senders.ts';
import { Tally } from './tally.ts';
import { TemplateRows } from './template_rows.ts';
import { toBytes } from './uuid_bytes.ts';

const ID_BYTES = 16;

/** The batches that are being written in one transaction. */
interface Group {
  /** The callers that records refer to, with their rows where the facts alone identify them. */
  callers: { packed: PackedCaller; row: CallerRow | null }[];
  calls: PackedCalls;
  /** Ids of all calls. */
  ids: Buffer;
  templateRows: TemplateRows;
}

/** The batch that is being written. */
interface Context extends Group {
  host: HostRow;
  /** Records that were new. */
  added: number;
  /** When the batch was received. */
  nowUs: number;
}

export class BatchWriter {
  readonly #senders: Senders;
  readonly #bounds: HostBounds;
  readonly #nowUs: () => number;
  readonly #callers: Callers;
  readonly #kinds: Kinds;
  readonly #tally: Tally;
  readonly #paths: Paths;
  readonly #hops: MeasuredHopsWriter;
  readonly #gaps: GapWriter;
  readonly #future: FutureRecords;
  readonly #statements: RecordStatements;
  readonly #rows: CountedRows;
  #callsAdded = 0;

  /** `nowUs`: the collector's clock, in microseconds since 1970. */
  constructor(
    database: DatabaseSync,
    nowUs: () => number,
    helperPrograms: readonly string[],
    /** See `HostBounds`. */
    storedShare?: number,
    rows: CountedRows = new StoredRows(database),
  ) {
    this.#rows = rows;
    this.#senders = new Senders(database, nowUs);
    this.#bounds = new HostBounds(database, nowUs, storedShare);
    this.#nowUs = nowUs;
    this.#callers = new Callers(database, this.#bounds, helperPrograms);
    this.#kinds = new Kinds(database, this.#bounds);
    this.#tally = new Tally(rows, this.#bounds);
    this.#paths = new Paths(database, this.#bounds);
    this.#hops = new MeasuredHopsWriter(database);
    this.#gaps = new GapWriter(database, this.#bounds, new RunRows(database));
    this.#future = new FutureRecords(database);
    this.#statements = prepareRecordStatements(database);
  }

  /** See `Store.lastSeq`. */
  lastSeq(stream: string, hostId: string): number | null {
    return this.#senders.lastSeqFor(stream, hostId);
  }

  /**
   * Writes what the batches of a transaction have changed in memory: sums, times and the positions of
   * streams.
   */
  flush(): void {
    this.#senders.flush();
    this.#tally.flush();
    this.#paths.flush();
    this.#hops.flush();
    this.#callers.flush();
    this.#kinds.flush();
    this.#bounds.flush();
    this.#rows.flush(this.#nowUs());
    if (this.#callsAdded > 0) this.#statements.addCalls.run(this.#callsAdded);
    this.#callsAdded = 0;
  }

  /** See `Callers.remembers`. */
  remembersCaller(key: string): boolean {
    return this.#callers.remembers(key);
  }

  /** Forgets what is remembered of a host: its rows were changed elsewhere. Must be called between transactions. */
  forgetHost(id: string, row: number): void {
    this.#senders.forgetHost(id);
    this.#bounds.forgetHost(row);
  }

  /** Forgets the position of a stream, like `forgetHost`. */
  forgetStream(stream: string): void {
    this.#senders.forgetStream(stream);
  }

  /** Forgets all rows. They may have been deleted, or were never committed. */
  forget(): void {
    this.#senders.forget();
    this.#callers.forget();
    this.#kinds.forget();
    this.#tally.forget();
    this.#paths.forget();
    this.#hops.forget();
    this.#bounds.forget();
    this.#rows.forget();
    this.#callsAdded = 0;
  }

  /**
   * Returns the indices of callers that came without their description and are not known: retention may have deleted
   * them. Nothing of their batches can be written.
   */
  missingCallers({ callers }: PackedBatches): number[] {
    const missing: number[] = [];
    callers.forEach(({ json, key }, index) => {
      if (json === null && this.#callers.knownRow(key!) === undefined) missing.push(index);
    });
    return missing;
  }

  /** Writes batches; `flush` completes them. */
  write({ batches, callers, calls }: PackedBatches): BatchResult[] {
    const group: Group = {
      callers: callers.map((packed) => ({ packed, row: null })),
      calls,
      ids: Buffer.from(calls.ids, 'hex'),
      templateRows: new TemplateRows(this.#kinds, calls, this.#nowUs()),
    };
    return batches.map((batch) => this.#writeBatch(batch, group));
  }

  #writeBatch(batch: PackedBatch, group: Group): BatchResult {
    const { stream, seq, host, from, to, rollups, coverage } = batch;
    // One transaction may hold several batches of the stream.
    const lastSeq = this.#senders.lastSeq(stream);
    if (seq <= lastSeq) return { result: 'known', lastSeq, records: 0, duplicates: 0 };
    if (seq > lastSeq + 1) return { result: 'ahead', lastSeq, records: 0, duplicates: 0 };
    const hostRow = this.#senders.hostRow(host);
    if (lastSeq === 0 && !batch.partial && !this.#bounds.tryUse(hostRow.row, 'streams')) {
      return { result: 'ahead', lastSeq, records: 0, duplicates: 0 };
    }
    const context: Context = {
      ...group,
      host: hostRow,
      added: 0,
      nowUs: this.#nowUs(),
    };
    if (batch.leftOut > 0) this.#bounds.noteMerged(hostRow.row, 'refused_records', batch.leftOut);
    this.#writeCalls(from, to, context);
    for (const { caller, rollup } of rollups) this.#writeRollup(rollup, caller, context);
    for (const report of coverage) this.#writeCoverage(report, context);
    if (!batch.partial) this.#senders.noteStored(stream, context.host, seq);
    const sent = to - from + rollups.length + coverage.length;
    return { result: 'stored', lastSeq: seq, records: context.added, duplicates: sent - context.added };
  }

  #callerRow(index: number, { callers, host }: Context, sourceAddress: string): CallerRow {
    const known = callers[index]!;
    if (known.row !== null) return known.row;
    const row = this.#callers.callerRow(known.packed, host, sourceAddress);
    if (known.packed.key !== null) known.row = row;
    return row;
  }

  #writeCalls(from: number, to: number, context: Context): void {
    const { ids, nowUs } = context;
    const { timesUs, callers, templates, templateOf, paths, pathOf, queries, queryOf } = context.calls;
    const { durationsMs, sources, sourceOf, sourcePorts } = context.calls;
    const host = context.host.row;
    for (let at = from; at < to; at += 1) {
      const isAhead = isFuture(timesUs[at]!, nowUs);
      let timeUs = isAhead ? nowUs : timesUs[at]!;
      const template = context.templateRows.rowFor(templateOf[at]!, host);
      const facts = templates[templateOf[at]!]!;
      const source = sources[sourceOf[at]!]!;
      const caller = this.#callerRow(callers[at]!, context, source);
      const path = paths[pathOf[at]!]!;
      const durationMs = durationsMs[at]!;
      // A call beyond the bound is not kept one by one, but it counts.
      if (this.#bounds.tryUse(host, 'raw_records')) {
        const id = ids.subarray(at * ID_BYTES, (at + 1) * ID_BYTES);
        if (isAhead) timeUs = this.#future.storedTimeUs(id, nowUs);
        const isNew = this.#rows.addCall([
          timeUs,
          id,
          host,
          caller.identity,
          caller.caller,
          template.kind.id,
          template.shape,
          template.userAgent,
          path,
          queries[queryOf[at]!]!,
          Number.isNaN(durationMs) ? null : durationMs,
          source,
          sourcePorts[at]!,
        ]);
        if (!isNew) continue;
        this.#callsAdded += 1;
      }
      if (isAhead) this.#bounds.noteMerged(host, 'future_calls', 1);
      this.#callers.noteUse(caller, timeUs);
      this.#count(template.kind, caller.identity, context.host, 1, timeUs, timeUs);
      if (template.kind.class === 1) {
        this.#paths.addPath(caller.identity, host, path, timeUs);
        this.#hops.addCall(facts, caller.identity, host, timeUs);
      }
      this.#countNew(context, timeUs, timeUs);
    }
  }

  #writeRollup(rollup: RollupBody, callerIndex: number, context: Context): void {
    const { nowUs } = context;
    const isAhead = isFuture(toMicroseconds(rollup.last_time), nowUs);
    const lastUs = isAhead ? nowUs : toMicroseconds(rollup.last_time);
    const firstUs = Math.min(toMicroseconds(rollup.first_time), lastUs);
    const host = context.host.row;
    const caller = this.#callerRow(callerIndex, context, rollup['source.address']);
    const userAgent = this.#kinds.userAgent(rollup['user_agent.original'], host, lastUs);
    const isKept = this.#bounds.tryUse(host, 'raw_records', 1 + rollup.lines.length);
    if (isKept) {
      const row = this.#statements.addRollup.get(
        toBytes(rollup.id),
        firstUs,
        lastUs,
        host,
        caller.identity,
        caller.caller,
        userAgent,
        rollup['source.address'],
        rollup.count,
      );
      if (row === undefined) return;
      for (const line of rollup.lines) this.#addLine(Number(row['id']), line);
    }
    for (const line of rollup.lines) {
      const kind = this.#kinds.kindOfLine(line, userAgent, host, lastUs);
      this.#count(kind, caller.identity, context.host, line.count, firstUs, lastUs);
    }
    if (isAhead) this.#bounds.noteMerged(host, 'future_calls', rollup.count);
    this.#callers.noteUse(caller, lastUs);
    this.#countNew(context, firstUs, lastUs);
  }

  #addLine(rollup: number, line: RollupLine): void {
    this.#statements.addRollupLine.run(
      rollup,
      line['imds.kind'],
      line['imds.category'],
      line['http.request.method'],
      line['url.path'],
      line['http.response.status_code'],
      line.outcome,
      line.count,
    );
  }

  /**
   * Adds calls to the sums. For a host that has used up its rows of today they are dated now, without
   * workload and of a coarse kind.
   */
  #count(
    kind: KindRow,
    identity: number,
    host: HostRow,
    count: number,
    firstUs: number,
    lastUs: number,
  ): void {
    if (this.#bounds.tryUse(host.row, 'sums', 0)) {
      this.#tally.addCalls(kind, identity, host.row, count, firstUs, lastUs);
      return;
    }
    const nowUs = this.#nowUs();
    const other = this.#callers.otherIdentity(host);
    this.#tally.addCalls(this.#kinds.coarseKind(kind, nowUs), other, host.row, count, nowUs, nowUs);
  }

  #writeCoverage(coverage: Coverage, context: Context): void {
    const report = reportOf(coverage);
    if (isFuture(Math.max(report.startUs, report.endUs), context.nowUs)) {
      this.#bounds.noteMerged(context.host.row, 'future_reports', 1);
      return;
    }
    if (!this.#bounds.tryUse(context.host.row, 'coverage_reports')) return;
    const { changes } = this.#statements.addCoverage.run(
      toBytes(coverage.id),
      context.host.row,
      report.bootId,
      report.startUs,
      report.endUs,
      report.liveMs,
      report.kernelConnections,
      report.seenConnections,
      JSON.stringify(report.losses),
    );
    if (changes === 0) return;
    this.#gaps.addReport(context.host.row, report);
    this.#countNew(context, report.startUs, report.endUs);
  }

  /** Counts a record that was new. */
  #countNew(context: Context, firstUs: number, lastUs: number): void {
    context.added += 1;
    this.#senders.noteRecord(context.host, firstUs, lastUs);
  }
}
