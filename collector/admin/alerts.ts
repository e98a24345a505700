/** Rows of alerts, of their destinations and of their deliveries in the admin database. */
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import type { Alert, AlertRule, DestinationConfig } from '../contract/administration.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';

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

/**
 * The state of the alerts about one subject. `kind` is `offender`, `host` or `begun`. `state` is plain data;
 * null deletes it.
 */
export interface SubjectRow {
  kind: string;
  id: string;
  state: unknown;
}

type Row = Record<string, SQLOutputValue>;

export class AlertRows {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** `database`: the admin database, open for writing. */
  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  destinations(): DestinationRow[] {
    const waiting = '(SELECT count(*) FROM alert_deliveries WHERE destination = d.id) AS waiting';
    return this.#sql(`SELECT d.*, ${waiting} FROM alert_destinations d ORDER BY d.name`)
      .all()
      .map(destinationOf);
  }

  addDestination(row: Omit<DestinationRow, 'lastDeliveredUs' | 'lastError' | 'waiting'>): void {
    const { id, name, enabled, rules, config, createdUs } = row;
    this.#sql(
      'INSERT INTO alert_destinations (id, name, enabled, rules, config, created_us) VALUES (?, ?, ?, ?, ?, ?)',
    ).run(id, name, Number(enabled), JSON.stringify(rules), JSON.stringify(config), createdUs);
  }

  changeDestination({ id, name, enabled, rules, config }: Omit<DestinationRow, 'createdUs'>): void {
    this.#sql('UPDATE alert_destinations SET name = ?, enabled = ?, rules = ?, config = ? WHERE id = ?').run(
      name,
      Number(enabled),
      JSON.stringify(rules),
      JSON.stringify(config),
      id,
    );
  }

  /** Deletes a destination with the deliveries that wait for it. Returns false where there is none. */
  removeDestination(id: string): boolean {
    return this.#sql('DELETE FROM alert_destinations WHERE id = ?').run(id).changes > 0;
  }

  noteDelivered(destination: string, us: number): void {
    this.#sql('UPDATE alert_destinations SET last_delivered_us = ?, last_error = NULL WHERE id = ?').run(
      us,
      destination,
    );
  }

  noteError(destination: string, error: string): void {
    this.#sql('UPDATE alert_destinations SET last_error = ? WHERE id = ?').run(error, destination);
  }

  /**
   * Stores alerts and the states of their subjects in one transaction. Returns the number of deliveries that
   * were deleted because of the bound.
   */
  record(alerts: readonly Alert[], subjects: readonly SubjectRow[], nowUs: number): { overflowed: number } {
    return this.#transaction(() => {
      const put = this.#sql('INSERT OR REPLACE INTO alert_subjects (kind, id, state) VALUES (?, ?, ?)');
      const forget = this.#sql('DELETE FROM alert_subjects WHERE kind = ? AND id = ?');
      for (const { kind, id, state } of subjects) {
        if (state === null) forget.run(kind, id);
        else put.run(kind, id, JSON.stringify(state));
      }
      if (alerts.length === 0) return { overflowed: 0 };
      const destinations = this.destinations().filter(({ enabled }) => enabled);
      for (const alert of alerts) this.#queue(alert, destinations, nowUs);
      this.#sql(`DELETE FROM alerts WHERE number <= (SELECT max(number) FROM alerts) - ${KEPT_ALERTS}`).run();
      return { overflowed: this.#pushOut(destinations) };
    });
  }

  subjects(): SubjectRow[] {
    return this.#sql('SELECT kind, id, state FROM alert_subjects')
      .all()
      .map((row) => ({
        kind: String(row['kind']),
        id: String(row['id']),
        state: JSON.parse(String(row['state'])),
      }));
  }

  /** Returns alerts, newest first. */
  recent(limit: number): Alert[] {
    return this.#sql('SELECT * FROM alerts ORDER BY number DESC LIMIT ?').all(limit).map(alertOf);
  }

  /** Returns deliveries to one destination that are due at `nowUs`, the earliest first. */
  due(destination: string, nowUs: number, limit: number): DeliveryRow[] {
    return this.#sql(
      `SELECT a.*, d.attempts, d.queued_us FROM alert_deliveries d JOIN alerts a ON a.number = d.alert
       WHERE d.destination = ? AND d.next_us <= ? ORDER BY d.next_us, d.alert LIMIT ?`,
    )
      .all(destination, nowUs, limit)
      .map((row) => ({
        number: Number(row['number']),
        alert: alertOf(row),
        attempts: Number(row['attempts']),
        queuedUs: Number(row['queued_us']),
      }));
  }

  postpone(destination: string, number: number, attempts: number, nextUs: number): void {
    this.#sql(
      'UPDATE alert_deliveries SET attempts = ?, next_us = ? WHERE destination = ? AND alert = ?',
    ).run(attempts, nextUs, destination, number);
  }

  /** Deletes a delivery that was made or given up. */
  unqueue(destination: string, number: number): void {
    this.#sql('DELETE FROM alert_deliveries WHERE destination = ? AND alert = ?').run(destination, number);
  }

  #queue(alert: Alert, destinations: readonly DestinationRow[], nowUs: number): void {
    const { id, rule, subject, severity, title, text, link } = alert;
    const { lastInsertRowid } = this.#sql(
      'INSERT INTO alerts (id, rule, subject, time_us, severity, title, text, link) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    ).run(id, rule, subject, toMicroseconds(alert.time), severity, title, text, link);
    const queue = this.#sql(
      'INSERT INTO alert_deliveries (destination, alert, attempts, queued_us, next_us) VALUES (?, ?, 0, ?, ?)',
    );
    for (const destination of destinations) {
      if (destination.rules.includes(rule)) queue.run(destination.id, lastInsertRowid, nowUs, nowUs);
    }
  }

  #pushOut(destinations: readonly DestinationRow[]): number {
    let overflowed = 0;
    for (const { id } of destinations) {
      const { changes } = this.#sql(
        `DELETE FROM alert_deliveries WHERE destination = ?1 AND alert IN (
           SELECT alert FROM alert_deliveries WHERE destination = ?1
           ORDER BY alert DESC LIMIT -1 OFFSET ${MAX_WAITING_PER_DESTINATION})`,
      ).run(id);
      overflowed += Number(changes);
    }
    return overflowed;
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}

function destinationOf(row: Row): DestinationRow {
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

function alertOf(row: Row): Alert {
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
