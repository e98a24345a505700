/** Rows of alerts, of their destinations and of their deliveries in the admin database. */
import type { Alert, AlertRule, DestinationConfig } from '../contract/administration.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { changeSubjects, type SubjectChange, type SubjectRow } from './alert_subjects.ts';
import { type Held, Leases } from './leases.ts';

/** Alerts beyond this number are deleted, oldest first. */
const KEPT_ALERTS = 10_000;
/** Deliveries that wait for one destination. Beyond this number the oldest are deleted. */
const MAX_WAITING_PER_DESTINATION = 1000;

export interface DestinationRow {
  id: string;
  name: string;
  enabled: boolean;
  rules: AlertRule[];
  /** The configuration with its secrets. */
  config: DestinationConfig;
  createdUs: number;
  lastDeliveredUs: number | null;
  lastError: string | null;
  waiting: number;
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
    row: Omit<DestinationRow, 'lastDeliveredUs' | 'lastError' | 'waiting'>,
  ): Promise<void> {
    const { id, name, enabled, rules, config, createdUs } = row;
    await this.#sql.run(
      'INSERT INTO alert_destinations (id, name, enabled, rules, config, created_us) VALUES ($1, $2, $3, $4, $5, $6)',
      id,
      name,
      Number(enabled),
      JSON.stringify(rules),
      JSON.stringify(config),
      createdUs,
    );
  }

  async changeDestination({
    id,
    name,
    enabled,
    rules,
    config,
  }: Omit<DestinationRow, 'createdUs'>): Promise<void> {
    await this.#sql.run(
      'UPDATE alert_destinations SET name = $1, enabled = $2, rules = $3, config = $4 WHERE id = $5',
      name,
      Number(enabled),
      JSON.stringify(rules),
      JSON.stringify(config),
      id,
    );
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
    alerts: readonly Alert[],
    subjects: readonly SubjectChange[],
    nowUs: number,
    held: Held | null,
  ): Promise<{ overflowed: number }> {
    return this.#sql.transaction('alerts', async (sql) => {
      if (held !== null) await new Leases(sql).check(held);
      await changeSubjects(sql, subjects);
      if (alerts.length === 0) return { overflowed: 0 };
      const destinations = (await new AlertRows(sql).destinations()).filter(({ enabled }) => enabled);
      for (const alert of alerts) await queue(sql, alert, destinations, nowUs);
      await sql.run(`DELETE FROM alerts WHERE number <= (SELECT max(number) FROM alerts) - ${KEPT_ALERTS}`);
      return { overflowed: await pushOut(sql, destinations) };
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

  /** Returns alerts, newest first. */
  async recent(limit: number): Promise<Alert[]> {
    const found = await this.#sql.all('SELECT * FROM alerts ORDER BY number DESC LIMIT $1', limit);
    return found.map(alertOf);
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

  /** Deletes a delivery that was made or given up. */
  async unqueue(destination: string, number: number): Promise<void> {
    const text = 'DELETE FROM alert_deliveries WHERE destination = $1 AND alert = $2';
    await this.#sql.run(text, destination, number);
  }
}

async function queue(
  sql: AdminSql,
  { id, rule, subject, time, severity, title, text, link }: Alert,
  destinations: readonly DestinationRow[],
  nowUs: number,
): Promise<void> {
  const row = await sql.get(
    `INSERT INTO alerts (id, rule, subject, time_us, severity, title, text, link)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING number`,
    id,
    rule,
    subject,
    toMicroseconds(time),
    severity,
    title,
    text,
    link,
  );
  for (const destination of destinations) {
    if (!destination.rules.includes(rule)) continue;
    await sql.run(
      'INSERT INTO alert_deliveries (destination, alert, attempts, queued_us, next_us) VALUES ($1, $2, 0, $3, $3)',
      destination.id,
      row!['number']!,
      nowUs,
    );
  }
}

async function pushOut(sql: AdminSql, destinations: readonly DestinationRow[]): Promise<number> {
  let overflowed = 0;
  for (const { id } of destinations) {
    overflowed += await sql.run(
      `DELETE FROM alert_deliveries WHERE destination = $1 AND alert NOT IN (
         SELECT alert FROM alert_deliveries WHERE destination = $1
         ORDER BY alert DESC LIMIT ${MAX_WAITING_PER_DESTINATION})`,
      id,
    );
  }
  return overflowed;
}

function destinationOf(row: SqlRow): DestinationRow {
  return {
    id: String(row['id']),
    name: String(row['name']),
    enabled: row['enabled'] === 1,
    rules: JSON.parse(String(row['rules'])),
    config: JSON.parse(String(row['config'])),
    createdUs: Number(row['created_us']),
    lastDeliveredUs: row['last_delivered_us'] === null ? null : Number(row['last_delivered_us']),
    lastError: row['last_error'] as string | null,
    waiting: Number(row['waiting']),
  };
}

function alertOf(row: SqlRow): Alert {
  return {
    id: String(row['id']),
    rule: row['rule'] as Alert['rule'],
    subject: String(row['subject']),
    time: toTimestamp(Number(row['time_us'])),
    severity: row['severity'] as Alert['severity'],
    title: String(row['title']),
    text: String(row['text']),
    link: row['link'] as string | null,
  };
}
