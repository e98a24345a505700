/** Rows of alerts, and of those that are open: their condition began, and was not reported to be over. */
import type { Alert } from '../contract/alert.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { inParts, places } from './many_rows.ts';

/** Alerts beyond this number are deleted, oldest first. */
const KEPT_ALERTS = 30_000;
/** Open alerts beyond this number are forgotten, oldest first. Their end is reported without what they were about. */
const MAX_OPEN_ALERTS = 20_000;

/**
 * `all`: for everybody. `digest`: a summary, for people. `each`: one of those that a summary stands for. `own`: a summary for
 * one destination, which is limited to some owners.
 */
export type Audience = 'all' | 'digest' | 'each' | 'own';

export interface RecordedAlert {
  alert: Alert;
  audience: Audience;
  /** For `own` only: the destination, and the ids of the alerts that the summary stands for. */
  destination?: string;
  covers?: readonly string[];
}

type Details = Pick<Alert, 'dedup_key' | 'ends' | 'started' | 'ended' | 'object' | 'hosts'>;

/**
 * Stores alerts. What an alert that resolves does not say is taken from the one that it resolves. Returns them as they were
 * stored, and the number of the last alert before them.
 */
export async function insertAlerts(
  sql: AdminSql,
  alerts: readonly RecordedAlert[],
): Promise<{ last: number; stored: readonly RecordedAlert[] }> {
  const last = await sql.get('SELECT max(number) AS number FROM alerts');
  const completed = await completedByOpen(sql, alerts);
  for (const part of inParts(completed)) {
    await sql.run(
      `INSERT INTO alerts (id, rule, subject, time_us, severity, title, text, link, state, audience, details)
       VALUES ${places(part.length, 11, 0)}`,
      ...part.flatMap(({ alert, audience }) => [
        ...valuesOf(alert),
        audience,
        JSON.stringify(detailsOf(alert)),
      ]),
    );
  }
  await sql.run(`DELETE FROM alerts WHERE number <= (SELECT max(number) FROM alerts) - ${KEPT_ALERTS}`);
  return { last: Number(last?.['number'] ?? 0), stored: completed };
}

/** Returns the open alerts, oldest first. */
export async function openAlerts(sql: AdminSql): Promise<Alert[]> {
  const found = await sql.all('SELECT alert FROM open_alerts ORDER BY started_us, dedup_key');
  return found.map((row) => JSON.parse(String(row['alert'])) as Alert);
}

/** Completes alerts by those that are open, and changes which are open. */
async function completedByOpen(
  sql: AdminSql,
  alerts: readonly RecordedAlert[],
): Promise<readonly RecordedAlert[]> {
  const keys = alerts.flatMap(({ alert }) => (alert.ends ? [alert.dedup_key] : []));
  const known = await openByKey(sql, keys);
  const after = new Map<string, Alert | null>();
  const completed = alerts.map((recorded) => {
    const { alert } = recorded;
    if (!alert.ends) return recorded;
    const key = alert.dedup_key;
    const whole = completedBy(after.has(key) ? after.get(key)! : (known.get(key) ?? null), alert);
    after.set(key, whole.state === 'firing' ? whole : null);
    return { ...recorded, alert: whole };
  });
  await storeOpen(sql, after);
  return completed;
}

function completedBy(open: Alert | null, alert: Alert): Alert {
  if (open === null) return alert;
  const { started, severity, object, hosts } = open;
  if (alert.state === 'firing') return { ...alert, started };
  return {
    ...alert,
    started,
    severity,
    // The rule knew only the id of what is over.
    title: alert.object === null ? `Over: ${open.title}` : alert.title,
    // Whoever was alerted hears of the end, also where something has another owner by now.
    object:
      alert.object === null || object === null
        ? (alert.object ?? object)
        : { ...alert.object, owner: object.owner },
    hosts: alert.hosts.length > 0 ? alert.hosts : hosts,
  };
}

async function openByKey(sql: AdminSql, keys: readonly string[]): Promise<Map<string, Alert>> {
  const found = new Map<string, Alert>();
  for (const part of inParts([...new Set(keys)])) {
    const rows = await sql.all(
      `SELECT dedup_key, alert FROM open_alerts WHERE dedup_key IN (${places(part.length, 1, 0)})`,
      ...part,
    );
    for (const row of rows) found.set(String(row['dedup_key']), JSON.parse(String(row['alert'])) as Alert);
  }
  return found;
}

async function storeOpen(sql: AdminSql, changes: ReadonlyMap<string, Alert | null>): Promise<void> {
  const ended = [...changes].flatMap(([key, alert]) => (alert === null ? [key] : []));
  for (const part of inParts(ended)) {
    await sql.run(`DELETE FROM open_alerts WHERE dedup_key IN (${places(part.length, 1, 0)})`, ...part);
  }
  const open = [...changes].flatMap(([key, alert]) => (alert === null ? [] : [[key, alert] as const]));
  for (const part of inParts(open)) {
    await sql.run(
      `INSERT INTO open_alerts (dedup_key, rule, started_us, alert) VALUES ${places(part.length, 4, 0)}
       ON CONFLICT (dedup_key) DO UPDATE SET alert = excluded.alert`,
      ...part.flatMap(([key, alert]) => [
        key,
        alert.rule,
        toMicroseconds(alert.started ?? alert.time),
        JSON.stringify(alert),
      ]),
    );
  }
  if (open.length === 0) return;
  await sql.run(
    `DELETE FROM open_alerts WHERE (started_us, dedup_key) <= (
       SELECT started_us, dedup_key FROM open_alerts
       ORDER BY started_us DESC, dedup_key DESC LIMIT 1 OFFSET ${MAX_OPEN_ALERTS})`,
  );
}

function valuesOf({ id, rule, subject, time, severity, title, text, link, state }: Alert) {
  return [id, rule, subject, toMicroseconds(time), severity, title, text, link, state];
}

function detailsOf({ dedup_key, ends, started, ended, object, hosts }: Alert): Details {
  return { dedup_key, ends, started, ended, object, hosts };
}

export function alertOf(row: SqlRow): Alert {
  const rule = row['rule'] as Alert['rule'];
  const subject = String(row['subject']);
  const details = JSON.parse(String(row['details'])) as Partial<Details>;
  return {
    id: String(row['id']),
    rule,
    subject,
    // Alerts of earlier releases have no details.
    dedup_key: details.dedup_key ?? `${rule}/${subject}`,
    state: row['state'] as Alert['state'],
    ends: details.ends ?? false,
    time: toTimestamp(Number(row['time_us'])),
    started: details.started ?? null,
    ended: details.ended ?? null,
    severity: row['severity'] as Alert['severity'],
    title: String(row['title']),
    text: String(row['text']),
    link: row['link'] as string | null,
    object: details.object ?? null,
    hosts: details.hosts ?? [],
  };
}
