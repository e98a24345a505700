/**
 * Hosts and the streams of their agents. They are cached from one batch to the next, and written once per
 * transaction, however many small batches it has.
 */

import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { deleteOldestEntries } from '../../../common/bounded_map.ts';
import type { HostFacts } from '../../../protocol/call.ts';
import { CloudBriefs } from './cloud_briefs.ts';
import type { PackedSender } from './packed_batch.ts';
import { Profiles } from './profiles.ts';

const MAX_CACHED = 16_384;

export interface HostRow {
  id: string;
  row: number;
  /** The stored JSON of the facts. */
  json: string;
  /** Time of the first new record; `flush` stores it, and the next. */
  firstUs: number;
  lastUs: number;
  changed: boolean;
}

interface Stream {
  host: number;
  lastSeq: number;
}

export class Senders {
  readonly #profiles: Profiles;
  readonly #briefs: CloudBriefs;
  readonly #nowUs: () => number;
  readonly #streamOf: StatementSync;
  readonly #setStream: StatementSync;
  readonly #setHost: StatementSync;
  readonly #setHostTimes: StatementSync;
  readonly #hosts = new Map<string, HostRow>();
  readonly #streams = new Map<string, Stream>();
  readonly #changedHosts = new Set<HostRow>();
  readonly #changedStreams = new Map<string, Stream>();

  constructor(database: DatabaseSync, nowUs: () => number) {
    this.#profiles = new Profiles(database);
    this.#briefs = new CloudBriefs(database);
    this.#nowUs = nowUs;
    this.#streamOf = database.prepare(
      'SELECT last_seq, host, host_id FROM streams JOIN hosts ON hosts.id = streams.host WHERE stream = ?',
    );
    this.#setStream = database.prepare(
      `INSERT INTO streams (stream, host, last_seq) VALUES (?, ?, ?)
       ON CONFLICT (stream) DO UPDATE SET last_seq = excluded.last_seq`,
    );
    this.#setHost = database.prepare(
      `INSERT INTO hosts (host_id, name, facts) VALUES (?, ?, ?)
       ON CONFLICT (host_id) DO UPDATE SET name = excluded.name, facts = excluded.facts RETURNING id`,
    );
    this.#setHostTimes = database.prepare(
      `UPDATE hosts SET first_us = min(coalesce(first_us, ?1), ?1), last_us = max(coalesce(last_us, ?2), ?2)
       WHERE id = ?3`,
    );
  }

  /** See `Store.lastSeq`. Must be called between transactions. */
  lastSeqFor(stream: string, hostId: string): number | null {
    const row = this.#streamOf.get(stream);
    if (row === undefined) return 0;
    return row['host_id'] === hostId ? Number(row['last_seq']) : null;
  }

  /** Returns the position of a stream, including the batches of this transaction. */
  lastSeq(stream: string): number {
    const known = this.#changedStreams.get(stream) ?? this.#streams.get(stream);
    if (known !== undefined) return known.lastSeq;
    const row = this.#streamOf.get(stream);
    if (row === undefined) return 0;
    const lastSeq = Number(row['last_seq']);
    remember(this.#streams, stream, { host: Number(row['host']), lastSeq });
    return lastSeq;
  }

  hostRow({ id, json }: PackedSender): HostRow {
    const known = this.#hosts.get(id);
    if (known?.json === json) return known;
    const facts = JSON.parse(json) as HostFacts;
    const row = Number(this.#setHost.get(facts.id, facts.name, json)!['id']);
    this.#profiles.setHostProfile(row, facts, this.#nowUs());
    if (known !== undefined) {
      known.json = json;
      return known;
    }
    this.#briefs.addHost(row, facts.id);
    const host = { id: facts.id, row, json, ...NO_TIMES, changed: false };
    remember(this.#hosts, facts.id, host);
    return host;
  }

  /** Notes a new record of this host. */
  noteRecord(host: HostRow, firstUs: number, lastUs: number): void {
    if (firstUs < host.firstUs) host.firstUs = firstUs;
    if (lastUs > host.lastUs) host.lastUs = lastUs;
    if (host.changed) return;
    host.changed = true;
    this.#changedHosts.add(host);
  }

  noteStored(stream: string, host: HostRow, seq: number): void {
    const known = { host: host.row, lastSeq: seq };
    remember(this.#streams, stream, known);
    this.#changedStreams.set(stream, known);
  }

  /** Writes hosts and streams. Must be called before the end of every transaction. */
  flush(): void {
    for (const [stream, { host, lastSeq }] of this.#changedStreams) {
      this.#setStream.run(stream, host, lastSeq);
    }
    this.#changedStreams.clear();
    for (const host of this.#changedHosts) {
      this.#setHostTimes.run(host.firstUs, host.lastUs, host.row);
      Object.assign(host, NO_TIMES, { changed: false });
    }
    this.#changedHosts.clear();
  }

  /** Forgets a host, whose row was changed elsewhere. Must be called between transactions. */
  forgetHost(id: string): void {
    this.#hosts.delete(id);
  }

  /** Forgets the position of a stream, which was changed elsewhere. Must be called between transactions. */
  forgetStream(stream: string): void {
    this.#streams.delete(stream);
  }

  /** Forgets all rows. Required after a rollback or a deletion, when they may not exist. */
  forget(): void {
    this.#hosts.clear();
    this.#streams.clear();
    this.#changedHosts.clear();
    this.#changedStreams.clear();
  }
}

const NO_TIMES = { firstUs: Number.POSITIVE_INFINITY, lastUs: Number.NEGATIVE_INFINITY };

/**
 * Adds to a cache. An entry that is pushed out is read again when it is needed; changed ones are held
 * elsewhere until they are stored.
 */
function remember<T>(cache: Map<string, T>, key: string, value: T): void {
  if (!cache.has(key)) deleteOldestEntries(cache, MAX_CACHED - 1);
  cache.set(key, value);
}
