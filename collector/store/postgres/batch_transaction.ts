/**
 * The transaction that stores what a working set has written. It locks its hosts in the order of their keys, and compares
 * their versions with those that the set was filled from. So a batch is stored once, whichever collector it comes to, and
 * one that is in flight elsewhere is waited for.
 */

import { ARRIVALS_NOTED } from '../arrivals.ts';
import type { BatchResult, StoredBatch } from '../store.ts';
import { WRITERS_LOCK } from './advisory_locks.ts';
import { insertCallers, newCallersOf } from './callers_writer.ts';
import { storeChanges } from './changes_writer.ts';
import type { DatabasePool, Session } from './database_pool.ts';
import { areStored, type FoundRows } from './dictionary_writer.ts';
import { FINDINGS_SCHEMA } from './findings_schema.ts';
import type { KnownHost } from './known_hosts.ts';
import { OutdatedHostsError, RetryError } from './retries.ts';
import { requireKnown } from './schema_steps.ts';
import type { WorkingSet } from './working_set.ts';

/** The state of the database that a working set was filled from. */
export interface SetOrigin {
  /** See `Session.generation`. */
  generation: number;
  /** Changes when rows are deleted that sets remember. */
  epoch: number;
  /** True while the arrival of calls is noted. */
  notesArrivals: boolean;
}

/**
 * Settings of the transaction. It looks for few rows of large tables by their keys. Without them the server reads whole
 * tables for as long as it has no statistics, and on every connection until its plans are made again.
 */
const BY_INDEX = ['seqscan', 'hashjoin', 'mergejoin']
  .map((way) => `set_config('enable_${way}', 'off', true)`)
  .join(', ');

export interface WrittenBatches {
  set: WorkingSet;
  origin: SetOrigin;
  batches: readonly StoredBatch[];
  results: readonly BatchResult[];
  /** Rows of dictionaries that must be on this server: they were stored on other connections. */
  rows: readonly FoundRows[];
  slot: number;
  nowUs: number;
}

/** Reads the state of the database for a new working set. */
export async function readOrigin(session: Session): Promise<SetOrigin> {
  const [row] = await session.query<{ value: number; needed: number; noted: number | null }>(
    `SELECT value, (SELECT needed FROM imdswatch_schemas WHERE name = $1) AS needed,
       (SELECT value FROM sums WHERE name = '${ARRIVALS_NOTED}') AS noted FROM sums WHERE name = 'epoch'`,
    [FINDINGS_SCHEMA.name],
  );
  // A newer release may have changed the schema while this collector runs.
  if (row!.needed > FINDINGS_SCHEMA.steps.length) await requireKnown(session, FINDINGS_SCHEMA);
  return { generation: session.generation, epoch: row!.value, notesArrivals: row!.noted === 1 };
}

/**
 * Stores what was written. Resolves when it is durable, also where all batches were known: who is told so must be able to
 * rely on it. Throws the errors of `retries.ts` where it has to be written again.
 */
export async function storeWritten(pool: DatabasePool, written: WrittenBatches): Promise<void> {
  const { set, batches, results, slot, nowUs } = written;
  const hosts = hostsOf(set, batches);
  const stored = new Set<KnownHost>();
  const streams = new Map<string, { host: number; lastSeq: number }>();
  results.forEach(({ result, lastSeq }, index) => {
    if (result !== 'stored') return;
    const { stream, host, partial } = batches[index]!;
    const known = hosts.get(host.id)!;
    stored.add(known);
    if (partial !== true) streams.set(stream, { host: known.row, lastSeq });
  });
  const newCallers = newCallersOf(set);
  await pool.transaction(async (session) => {
    const { notesArrivals } = await lockAndCompare(session, written, hosts, newCallers);
    await storeChanges(session, set, {
      slot,
      nowUs,
      notesArrivals,
      hosts: [...stored],
      newCallers: new Set(newCallers.map((row) => row[0] as number)),
      streams: [...streams].map(([stream, position]) => ({ stream, ...position })),
    });
  });
  set.hosts.noteStored([...stored], streams);
}

/** Returns the hosts of batches by their ids. Hosts that are not stored are left out: their batches are not the next ones. */
function hostsOf(set: WorkingSet, batches: readonly StoredBatch[]): Map<string, KnownHost> {
  const hosts = new Map<string, KnownHost>();
  for (const { host } of batches) {
    const known = set.hosts.get(host.id);
    if (known !== undefined) hosts.set(host.id, known);
  }
  return hosts;
}

/** Locks the hosts, and inserts new processes, whose numbers the other rows need. Returns the state of the database. */
async function lockAndCompare(
  session: Session,
  { set, origin, rows }: WrittenBatches,
  hosts: ReadonlyMap<string, KnownHost>,
  newCallers: Parameters<typeof insertCallers>[2],
): Promise<SetOrigin> {
  if (session.generation !== origin.generation) throw new RetryError('The set is of another server.');
  const [, now, locked, areRowsStored] = await Promise.all([
    session.query(`SELECT pg_advisory_xact_lock_shared(${WRITERS_LOCK}), ${BY_INDEX}`),
    readOrigin(session),
    session.query<{ id: number; host_id: string; version: number }>(
      'SELECT id, host_id, version FROM hosts WHERE host_id = ANY ($1) ORDER BY host_id FOR UPDATE',
      [[...hosts.keys()]],
    ),
    areStored(session, rows),
    insertCallers(session, set, newCallers),
  ]);
  // After a failover the new primary may lack what the old one had.
  if (now.epoch !== origin.epoch || !areRowsStored) throw new RetryError('Rows of the set may be gone.');
  const versions = new Map(locked.map(({ id, host_id: hostId, version }) => [hostId, `${id} ${version}`]));
  const outdated = [...hosts].filter(([id, { row, version }]) => versions.get(id) !== `${row} ${version}`);
  if (outdated.length > 0) throw new OutdatedHostsError(outdated.map(([id]) => id));
  return now;
}
