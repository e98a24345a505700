/** Rows of alerts, of their destinations and of their deliveries in the admin database. */
import type { Alert, AlertRule } from '../contract/alert.ts';
import type { DestinationConfig } from '../contract/destination.ts';
import type { StreamName } from '../contract/export.ts';
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { type Audience, alertOf, insertAlerts, openAlerts, type RecordedAlert } from './alert_records.ts';
import { changeSubjects, type SubjectChange, type SubjectRow } from './alert_subjects.ts';
import { countGivenUp } from './given_up.ts';
import { type Held, Leases } from './leases.ts';
import { places } from './many_rows.ts';

/** Deliveries that wait for one destination. Beyond this number the oldest are deleted. */
const MAX_WAITING_PER_DESTINATION = 10_000;

export interface DestinationRow {
  id: string;
  name: string;
  enabled: boolean;
  stream: StreamName;
  /** Rules of the stream of alerts; empty for other streams. */
  rules: AlertRule[];
  /** It gets summaries in place of many alerts of one rule. */
  digest: boolean;
  /** It gets alerts that say that something is over. */
  sendResolved: boolean;
  /** The configuration with its secrets. */
  config: DestinationConfig;
  createdUs: number;
  lastDeliveredUs: number | null;
  lastError: string | null;
  waiting: number;
  /** Alerts that were given up so far; when and why that happened last. */
  givenUp: number;
  givenUpUs: number | null;
  givenUpReason: string | null;
}

export interface DeliveryRow {
  number: number;
  alert: Alert;
  attempts: number;
  queuedUs: number;
}

export class AlertRows {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  /** Returns the destinations sorted by name. */
  async destinations(): Promise<DestinationRow[]> {
    const waiting = '(SELECT count(*) FROM alert_deliveries WHERE destination = d.id) AS waiting';
    const found = await this.#sql.all(`SELECT d.*, ${waiting} FROM alert_destinations d ORDER BY d.name`);
    return found.map(destinationOf);
  }

  async addDestination(
    row: Pick<
      DestinationRow,
      'id' | 'name' | 'enabled' | 'rules' | 'digest' | 'sendResolved' | 'config' | 'createdUs'
    > & { stream?: StreamName },
  ): Promise<void> {
    const { id, name, enabled, rules, digest, sendResolved, config, createdUs, stream = 'alerts' } = row;
    await this.#sql.run(
      `INSERT INTO alert_destinations (id, name, enabled, rules, digest, send_resolved, config, created_us, stream)
       VALUES (${places(1, 9, 0).slice(1, -1)})`,
      id,
      name,
      Number(enabled),
      JSON.stringify(rules),
      Number(digest),
      Number(sendResolved),
      JSON.stringify(config),
      createdUs,
      stream,
    );
  }

  /** Changes a destination. What waits for it is due at once, because it may be accepted now. */
  async changeDestination(
    row: Pick<DestinationRow, 'id' | 'name' | 'enabled' | 'rules' | 'digest' | 'sendResolved' | 'config'>,
  ): Promise<void> {
    const { id, name, enabled, rules, digest, sendResolved, config } = row;
    await this.#sql.run(
      `UPDATE alert_destinations
       SET name = $1, enabled = $2, rules = $3, config = $4, digest = $5, send_resolved = $6 WHERE id = $7`,
      name,
      Number(enabled),
      JSON.stringify(rules),
      JSON.stringify(config),
      Number(digest),
      Number(sendResolved),
      id,
    );
    await this.#sql.run('UPDATE alert_deliveries SET next_us = queued_us WHERE destination = $1', id);
  }

  /** Deletes a destination with the deliveries that wait for it. Returns false where there is none. */
  async removeDestination(id: string): Promise<boolean> {
    return (await this.#sql.run('DELETE FROM alert_destinations WHERE id = $1', id)) > 0;
  }

  async noteDelivered(destination: string, us: number): Promise<void> {
    const text = 'UPDATE alert_destinations SET last_delivered_us = $1, last_error = NULL WHERE id = $2';
    await this.#sql.run(text, us, destination);
  }

  async noteError(destination: string, error: string): Promise<void> {
    await this.#sql.run('UPDATE alert_destinations SET last_error = $1 WHERE id = $2', error, destination);
  }

  /**
   * Stores alerts and the states of their subjects in one transaction. Returns the number of deliveries that
   * were deleted because of the bound. `held`: the lease for which the collector acts, null for none. Throws
   * `LeaseLostError` where it is over, and `StaleStateError` where a state is not the one of before any more, so that no
   * alert is stored twice by two collectors.
   */
  record(
    alerts: readonly RecordedAlert[],
    subjects: readonly SubjectChange[],
    nowUs: number,
    held: Held | null,
  ): Promise<{ overflowed: number }> {
    return this.#sql.transaction('alerts', async (sql) => {
      if (held !== null) await new Leases(sql).check(held);
      await changeSubjects(sql, subjects);
      if (alerts.length === 0) return { overflowed: 0 };
      const destinations = (await new AlertRows(sql).destinations()).filter(
        ({ enabled, stream }) => enabled && stream === 'alerts',
      );
      const last = await insertAlerts(sql, alerts);
      for (const destination of destinations) await queue(sql, destination, last, nowUs);
      return { overflowed: await pushOut(sql, destinations, nowUs) };
    });
  }

  /** Returns the states of the subjects of these kinds. */
  async subjects(kinds: readonly string[]): Promise<SubjectRow[]> {
    const list = kinds.map((_, at) => `$${at + 1}`).join(', ');
    const found = await this.#sql.all(
      `SELECT kind, id, state FROM alert_subjects WHERE kind IN (${list})`,
      ...kinds,
    );
    return found.map((row) => ({
      kind: String(row['kind']),
      id: String(row['id']),
      state: JSON.parse(String(row['state'])),
    }));
  }

  /** Returns alerts, newest first. `digest`: with summaries in place of the alerts that they stand for. */
  async recent(limit: number, { digest = false } = {}): Promise<Alert[]> {
    const found = await this.#sql.all(
      'SELECT * FROM alerts WHERE audience <> $1 ORDER BY number DESC LIMIT $2',
      notFor(digest),
      limit,
    );
    return found.map(alertOf);
  }

  /** Returns the alerts whose condition was not reported to be over, oldest first. */
  open(): Promise<Alert[]> {
    return openAlerts(this.#sql);
  }

  /** Returns deliveries to one destination that are due at `nowUs`, the earliest first. */
  async due(destination: string, nowUs: number, limit: number): Promise<DeliveryRow[]> {
    const found = await this.#sql.all(
      `SELECT a.*, d.attempts, d.queued_us FROM alert_deliveries d JOIN alerts a ON a.number = d.alert
       WHERE d.destination = $1 AND d.next_us <= $2 ORDER BY d.next_us, d.alert LIMIT $3`,
      destination,
      nowUs,
      limit,
    );
    return found.map((row) => ({
      number: Number(row['number']),
      alert: alertOf(row),
      attempts: Number(row['attempts']),
      queuedUs: Number(row['queued_us']),
    }));
  }

  async postpone(destination: string, number: number, attempts: number, nextUs: number): Promise<void> {
    await this.#sql.run(
      'UPDATE alert_deliveries SET attempts = $1, next_us = $2 WHERE destination = $3 AND alert = $4',
      attempts,
      nextUs,
      destination,
      number,
    );
  }

  /** Deletes a delivery that is given up, and counts it. */
  giveUp(destination: string, number: number, reason: string, us: number): Promise<void> {
    return this.#sql.transaction('alerts', async (sql) => {
      await new AlertRows(sql).unqueue(destination, number);
      await countGivenUp(sql, destination, 1, reason, us);
    });
  }

  /** Deletes a delivery that was made. */
  async unqueue(destination: string, number: number): Promise<void> {
    const text = 'DELETE FROM alert_deliveries WHERE destination = $1 AND alert = $2';
    await this.#sql.run(text, destination, number);
  }
}

/** Queues the alerts behind this number for a destination. */
async function queue(
  sql: AdminSql,
  { id, rules, digest, sendResolved }: DestinationRow,
  last: number,
  nowUs: number,
): Promise<void> {
  await sql.run(
    `INSERT INTO alert_deliveries (destination, alert, attempts, queued_us, next_us)
     SELECT CAST($2 AS text), number, 0, CAST($1 AS bigint), CAST($1 AS bigint) FROM alerts
     WHERE number > $3 AND audience <> $4 AND state <> $5 AND rule IN (${places(rules.length, 1, 5)})`,
    nowUs,
    id,
    last,
    notFor(digest),
    sendResolved ? 'none' : 'resolved',
    ...rules,
  );
}

function notFor(digest: boolean): Audience {
  return digest ? 'each' : 'digest';
}

async function pushOut(
  sql: AdminSql,
  destinations: readonly DestinationRow[],
  nowUs: number,
): Promise<number> {
  let overflowed = 0;
  for (const { id } of destinations) {
    const deleted = await sql.run(
      `DELETE FROM alert_deliveries WHERE destination = $1 AND alert <= (
         SELECT alert FROM alert_deliveries WHERE destination = $1
         ORDER BY alert DESC LIMIT 1 OFFSET ${MAX_WAITING_PER_DESTINATION})`,
      id,
    );
    if (deleted === 0) continue;
    overflowed += deleted;
    const reason = `more than ${MAX_WAITING_PER_DESTINATION} alerts waited, and the oldest were dropped`;
    await countGivenUp(sql, id, deleted, reason, nowUs);
  }
  return overflowed;
}

function destinationOf(row: SqlRow): DestinationRow {
  return {
    id: String(row['id']),
    name: String(row['name']),
    enabled: row['enabled'] === 1,
    stream: row['stream'] as StreamName,
    rules: JSON.parse(String(row['rules'])),
    digest: row['digest'] === 1,
    sendResolved: row['send_resolved'] === 1,
    config: JSON.parse(String(row['config'])),
    createdUs: Number(row['created_us']),
    lastDeliveredUs: row['last_delivered_us'] === null ? null : Number(row['last_delivered_us']),
    lastError: row['last_error'] as string | null,
    waiting: Number(row['waiting']),
    givenUp: Number(row['given_up']),
    givenUpUs: row['given_up_us'] === null ? null : Number(row['given_up_us']),
    givenUpReason: row['given_up_reason'] as string | null,
  };
}
