/**
 * Keeps the figures of the cloud that decide about groups: one narrow row for each host, found by its number.
 * The rows they come from are wide and found by the id of the instance, which is random. Reading those for a
 * hundred thousand hosts took four times as long (bench/RESULTS.md).
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { HOUR_US } from '../../contract/window.ts';
import { CLOUD_STATES } from '../store.ts';

/**
 * Schema step 12. `launch_counted_us`: from the hour of the launch to this time the cloud's counts are
 * complete. `end_counted_us`: from this time to the hour of the end they are. `agentless` has the instances of
 * the inventory that are no host.
 */
export function toCloudBriefs(database: DatabaseSync): void {
  database.exec(`
    CREATE TABLE cloud_briefs (
      host INTEGER PRIMARY KEY,
      state INTEGER NOT NULL,
      launched_us INTEGER,
      terminated_us INTEGER,
      supplied_us INTEGER,
      profile INTEGER,
      tokens INTEGER NOT NULL,
      tokens_supplied_us INTEGER,
      launch_counted_us INTEGER,
      end_counted_us INTEGER
    ) STRICT;
    CREATE TABLE agentless (host_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  `);
  const briefs = new CloudBriefs(database);
  for (const { host_id: hostId } of database
    .prepare('SELECT host_id FROM cloud_members UNION SELECT host_id FROM cloud_instances')
    .all()) {
    briefs.refresh(String(hostId));
  }
}

/** Returns SQL for the place of a state in `CLOUD_STATES`, counted from 1; 0 for a state that is not known. */
export function stateNumber(column: string): string {
  return `CASE ${column} ${CLOUD_STATES.map((state, at) => `WHEN '${state}' THEN ${at + 1}`).join(' ')} ELSE 0 END`;
}

/** Returns SQL for 2 where tokens are required, 1 where they are optional, and 0 where nobody knows. */
export function tokensNumber(column: string): string {
  return `CASE ${column} WHEN 'required' THEN 2 WHEN 'optional' THEN 1 ELSE 0 END`;
}

export class CloudBriefs {
  readonly #host: StatementSync;
  readonly #known: StatementSync;
  readonly #figures: StatementSync;
  readonly #counts: StatementSync;
  readonly #set: StatementSync;
  readonly #delete: StatementSync;
  readonly #addAgentless: StatementSync;
  readonly #deleteAgentless: StatementSync;

  constructor(database: DatabaseSync) {
    this.#host = database.prepare('SELECT id FROM hosts WHERE host_id = ?');
    this.#known = database.prepare('SELECT 1 FROM cloud_briefs WHERE host = ?');
    this.#figures = database.prepare(
      `SELECT m.host_id IS NOT NULL AS isMember, ${stateNumber('m.state')} AS state, m.launched_us AS launchedUs,
         m.terminated_us AS terminatedUs, m.supplied_us AS suppliedUs, m.profile AS profile,
         ${tokensNumber('i.http_tokens')} AS tokens, i.supplied_us AS tokensUs
       FROM (SELECT ? AS host_id) wanted LEFT JOIN cloud_members m ON m.host_id = wanted.host_id
         LEFT JOIN cloud_instances i ON i.host_id = wanted.host_id
       WHERE m.host_id IS NOT NULL OR i.host_id IS NOT NULL`,
    );
    this.#counts = database.prepare(
      'SELECT start_us AS startUs, end_us AS endUs FROM cloud_counts WHERE host_id = ? ORDER BY start_us',
    );
    this.#set = database.prepare(
      `INSERT OR REPLACE INTO cloud_briefs (host, state, launched_us, terminated_us, supplied_us, profile, tokens,
         tokens_supplied_us, launch_counted_us, end_counted_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#delete = database.prepare('DELETE FROM cloud_briefs WHERE host = ?');
    this.#addAgentless = database.prepare('INSERT OR IGNORE INTO agentless VALUES (?)');
    this.#deleteAgentless = database.prepare('DELETE FROM agentless WHERE host_id = ?');
  }

  /** Makes the row of a host that may be new. Its instance can have been in the inventory before. */
  addHost(host: number, hostId: string): void {
    if (this.#known.get(host) === undefined) this.refresh(hostId);
  }

  /** Follows a change of the rows of an instance, or of its host. */
  refresh(hostId: string): void {
    const host = this.#host.get(hostId)?.['id'] as number | undefined;
    const figures = this.#figures.get(hostId) as Figures | undefined;
    if (host === undefined && figures?.isMember === 1) this.#addAgentless.run(hostId);
    else this.#deleteAgentless.run(hostId);
    if (host === undefined) return;
    if (figures === undefined) {
      this.#delete.run(host);
      return;
    }
    const { state, launchedUs, terminatedUs, suppliedUs, profile, tokens, tokensUs } = figures;
    const counts = this.#counts.iterate(hostId) as unknown as Iterable<{ startUs: number; endUs: number }>;
    const { launchCountedUs, endCountedUs } = countedSpans(counts, launchedUs, terminatedUs);
    this.#set.run(
      host,
      state,
      launchedUs,
      terminatedUs,
      suppliedUs,
      profile,
      tokens,
      tokensUs,
      launchCountedUs,
      endCountedUs,
    );
  }
}

/**
 * Returns until when the cloud's counts are complete from the hour of a launch on, and from when on they are until the
 * hour of an end. `counts`: their spans, by their start.
 */
export function countedSpans(
  counts: Iterable<{ startUs: number; endUs: number }>,
  launchedUs: number | null,
  terminatedUs: number | null,
): { launchCountedUs: number | null; endCountedUs: number | null } {
  const found = { launchCountedUs: null as number | null, endCountedUs: null as number | null };
  if (launchedUs === null && terminatedUs === null) return found;
  const launchHourUs = launchedUs === null ? null : Math.floor(launchedUs / HOUR_US) * HOUR_US;
  const endHourUs = terminatedUs === null ? null : Math.ceil(terminatedUs / HOUR_US) * HOUR_US;
  let span = { sinceUs: Number.NaN, untilUs: Number.NEGATIVE_INFINITY };
  const use = () => {
    const { sinceUs, untilUs } = span;
    if (launchHourUs !== null && sinceUs <= launchHourUs && untilUs > launchHourUs)
      found.launchCountedUs = untilUs;
    if (endHourUs !== null && sinceUs < endHourUs && untilUs >= endHourUs) found.endCountedUs = sinceUs;
  };
  for (const { startUs, endUs } of counts) {
    if (startUs <= span.untilUs) span.untilUs = Math.max(span.untilUs, endUs);
    else {
      use();
      span = { sinceUs: startUs, untilUs: endUs };
    }
  }
  use();
  return found;
}

interface Figures {
  isMember: 0 | 1;
  state: number;
  launchedUs: number | null;
  terminatedUs: number | null;
  suppliedUs: number | null;
  profile: number | null;
  tokens: number;
  tokensUs: number | null;
}
