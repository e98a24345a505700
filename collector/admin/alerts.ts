/** Rows of alerts, of their destinations and of their deliveries in the admin database. */
import type { Alert } from '../contract/alert.ts';
import type { DestinationOwners, UnroutedAlerts } from '../contract/destination.ts';
import type { StreamName } from '../contract/export.ts';
import type { AdminSql } from './admin_sql.ts';
import { countUnrouted, idsFor, readUnrouted } from './alert_owners.ts';
import { notFor, pushOut, queueAll, queueSome } from './alert_queue.ts';
import { alertOf, insertAlerts, openAlerts, type RecordedAlert } from './alert_records.ts';
import { changeSubjects, type SubjectChange, type SubjectRow } from './alert_subjects.ts';
import { type DestinationRow, destinationOf, ownersColumn } from './destination_row.ts';
import { countGivenUp } from './given_up.ts';
import { type Held, Leases } from './leases.ts';
import { places } from './many_rows.ts';

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
    > & { stream?: StreamName; owners?: DestinationOwners | null },
  ): Promise<void> {
    const { id, name, enabled, rules, digest, sendResolved, config, createdUs, stream = 'alerts' } = row;
    const { owners = null } = row;
    await this.#sql.run(
      `INSERT INTO alert_destinations (id, name, enabled, rules, digest, send_resolved, config, created_us, stream, owners)
       VALUES (${places(1, 10, 0).slice(1, -1)})`,
      id,
      name,
      Number(enabled),
      JSON.stringify(rules),
      Number(digest),
      Number(sendResolved),
      JSON.stringify(config),
      createdUs,
      stream,
      ownersColumn(owners),
    );
  }

  /** Changes a destination. What waits for it is due at once, because it may be accepted now. */
  async changeDestination(
    row: Pick<
      DestinationRow,
      'id' | 'name' | 'enabled' | 'rules' | 'digest' | 'sendResolved' | 'owners' | 'config'
    >,
  ): Promise<void> {
    const { id, name, enabled, rules, digest, sendResolved, owners, config } = row;
    await this.#sql.run(
      `UPDATE alert_destinations
       SET name = $1, enabled = $2, rules = $3, config = $4, digest = $5, send_resolved = $6, owners = $7 WHERE id = $8`,
      name,
      Number(enabled),
      JSON.stringify(rules),
      JSON.stringify(config),
      Number(digest),
      Number(sendResolved),
      ownersColumn(owners),
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
   * Stores alerts and the states of their subjects in one transaction. Returns the number of deliveries that were deleted
   * because of the bound, and the number of alerts that are for no destination. `held`: the lease for which the collector
   * acts, null for none. Throws `LeaseLostError` where it is over, and `StaleStateError` where a state is not the one of
   * before any more, so that no alert is stored twice by two collectors.
   */
  record(
    alerts: readonly RecordedAlert[],
    subjects: readonly SubjectChange[],
    nowUs: number,
    held: Held | null,
  ): Promise<{ overflowed: number; unrouted: number }> {
    return this.#sql.transaction('alerts', async (sql) => {
      if (held !== null) await new Leases(sql).check(held);
      await changeSubjects(sql, subjects);
      if (alerts.length === 0) return { overflowed: 0, unrouted: 0 };
      const destinations = (await new AlertRows(sql).destinations()).filter(
        ({ enabled, stream }) => enabled && stream === 'alerts',
      );
      const { last, stored } = await insertAlerts(sql, alerts);
      for (const destination of destinations) {
        if (destination.owners === null) await queueAll(sql, destination, last, nowUs);
        else await queueSome(sql, destination, idsFor(destination, stored), nowUs);
      }
      const unrouted = await countUnrouted(sql, stored, destinations);
      return { overflowed: await pushOut(sql, destinations, nowUs), unrouted };
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
      `SELECT * FROM alerts WHERE audience <> $1 AND audience <> 'own' ORDER BY number DESC LIMIT $2`,
      notFor(digest),
      limit,
    );
    return found.map(alertOf);
  }

  /** Returns the alerts whose condition was not reported to be over, oldest first. */
  open(): Promise<Alert[]> {
    return openAlerts(this.#sql);
  }

  /** Returns how many alerts were for no destination. */
  unrouted(): Promise<UnroutedAlerts> {
    return readUnrouted(this.#sql);
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
