/** An embedded store with admin data and the streams of one collector, on a clock that the test sets. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { pino } from 'pino';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { Lease } from '../../../../collector/admin/lease.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { Destinations } from '../../../../collector/alert/destinations.ts';
import { newDestination } from '../../../../collector/contract/destination.ts';
import type { RequestDefinition } from '../../../../collector/contract/http_request.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch } from '../../../../collector/store/store.ts';
import { AuditSource } from '../../../../collector/stream/audit_source.ts';
import { CallSource } from '../../../../collector/stream/call_source.ts';
import { FindingSource } from '../../../../collector/stream/finding_source.ts';
import { STREAMS_LEASE_MS, Streams } from '../../../../collector/stream/streams.ts';
import { call, type stream } from '../store/records.ts';

export const SECRET = 'S3CRET-of-the-destination';

export class StreamBench {
  readonly directory = mkdtempSync(join(tmpdir(), 'imdswatch-streams-'));
  nowMs = Date.now();
  rawDays = 14;
  store!: Store;
  admin!: SqliteAdminStore;
  streams!: Streams;
  destinations!: Destinations;
  readonly logged: string[] = [];
  #database!: DatabaseSync;

  constructor() {
    this.open();
  }

  /** Opens it again after `close`, like a restart. */
  open(): void {
    this.#database = openAdmin(this.directory);
    this.admin = new SqliteAdminStore(this.#database);
    this.store = openStore(this.directory);
    this.destinations = new Destinations(this.admin, { now: () => this.nowMs });
    const { store, admin } = this;
    const nowUs = () => this.nowMs * 1000;
    const followedSinceUs = async () => nowUs() - this.rawDays * 86_400_000_000;
    const calls = new CallSource(store, () => '0123456789abcdef', followedSinceUs, nowUs);
    this.streams = new Streams({
      admin,
      lease: new Lease(admin, 'streams', { durationMs: STREAMS_LEASE_MS }),
      sources: {
        calls,
        findings: new FindingSource(admin.findings, () => this.nowMs * 1000),
        audit: new AuditSource(admin.auditLog),
      },
      forgetCalls: () => calls.end(),
      report: async () => {},
      bounds: async () => ({ rawDays: this.rawDays, maxBytes: 1e12, bytes: 1 }),
      log: pino({ level: 'trace' }, { write: (line: string) => void this.logged.push(line) }),
      now: () => this.nowMs,
    });
  }

  async close(): Promise<void> {
    await this.streams.stop();
    await this.store.close();
    this.#database.close();
  }

  async remove(): Promise<void> {
    await this.close();
    rmSync(this.directory, { recursive: true });
  }

  /** Adds a destination whose stream has begun. */
  async add(
    stream: 'calls' | 'findings' | 'audit',
    url: string,
    request: RequestDefinition = {},
  ): Promise<string> {
    const values = { url, secret: SECRET };
    const config = { kind: 'http', preset: 'webhook', values, request: { gzip: false, ...request } };
    const added = await this.destinations.add(newDestination.parse({ name: stream, stream, config }));
    await this.round();
    return added.id;
  }

  /** Lets records have waited long enough, and sends what is due. */
  async round(seconds = 2): Promise<void> {
    // The store dates what it stores by the clock of the machine.
    this.nowMs = Math.max(this.nowMs, Date.now()) + seconds * 1000;
    await this.streams.sendDue();
  }

  async progress(id: string) {
    return (await this.destinations.find(id))!;
  }
}

/** Returns the ids of the lines that a receiver was sent, in their order. */
export function idsOf(received: readonly { body: Buffer }[]): string[] {
  return received.flatMap(({ body }) =>
    body
      .toString()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).id),
  );
}

/** Returns the ids of the calls of batches, in their order. */
export const callsOf = (batches: readonly StoredBatch[]) =>
  batches.flatMap(({ records }) => records.flatMap((each) => (each.kind === 'call' ? [each.call.id] : [])));

/** Writes batches of each host in turn, with calls of which some are late. */
export async function write(
  streams: StreamBench,
  next: readonly ReturnType<typeof stream>[],
  rounds: number,
  of: number,
) {
  const batches: StoredBatch[] = [];
  for (let round = 0; round < rounds; round += 1) {
    for (const make of next) {
      const batch = make(
        ...Array.from({ length: of }, (_, at) =>
          call(Date.now() * 1000 - ((round * 7919 + at) % 300) * 3_600_000_000),
        ),
      );
      await streams.store.write([batch]);
      batches.push(batch);
    }
  }
  return batches;
}
