/**
 * Which destinations get an alert, by the owner of what it is about. An alert that every destination leaves to another one
 * is counted, because nobody gets it.
 */
import { patternOf } from '../../common/text_pattern.ts';
import type { Alert } from '../contract/alert.ts';
import { type DestinationOwners, type UnroutedAlerts, unroutedAlerts } from '../contract/destination.ts';
import type { AdminSql } from './admin_sql.ts';
import type { RecordedAlert } from './alert_records.ts';
import type { DestinationRow } from './destination_row.ts';
import { StoredSettings } from './stored_settings.ts';

const KEY = 'alerts_unrouted';
const NOTHING: UnroutedAlerts = { count: 0, last: null, title: null, owner: null };

/**
 * Returns a function that tells whether a destination takes alerts about something with this owner, null for none. `owners`:
 * null for a destination that takes all.
 */
export function ownerFilter(owners: DestinationOwners | null): (owner: string | null) => boolean {
  if (owners === null) return () => true;
  const patterns = owners.patterns.map(patternOf);
  return (owner) => (owner === null ? owners.unowned : patterns.some((pattern) => pattern.test(owner)));
}

export function ownerOfAlert({ object }: Pick<Alert, 'object'>): string | null {
  return object?.owner ?? null;
}

/** Returns the ids of the recorded alerts that a destination which is limited to owners gets. */
export function idsFor(
  { id, owners, digest }: Pick<DestinationRow, 'id' | 'owners' | 'digest'>,
  recorded: readonly RecordedAlert[],
): string[] {
  const own = recorded.filter(({ destination }) => destination === id);
  const covered = new Set(own.flatMap(({ covers = [] }) => covers));
  const takes = ownerFilter(owners);
  const single = recorded.filter(
    ({ alert, audience }) =>
      (audience === 'all' || audience === 'each') &&
      takes(ownerOfAlert(alert)) &&
      !(digest && covered.has(alert.id)),
  );
  return [...own, ...single].map(({ alert }) => alert.id);
}

/**
 * Counts the alerts that no destination gets because all that want such an alert are limited to other owners. An alert whose
 * rule no destination wants is not counted: that is what the admin chose.
 */
export async function countUnrouted(
  sql: AdminSql,
  recorded: readonly RecordedAlert[],
  destinations: readonly DestinationRow[],
): Promise<number> {
  const filtered = destinations.map((row) => ({ ...row, takes: ownerFilter(row.owners) }));
  const unrouted = recorded.filter(({ alert, audience }) => {
    if (audience === 'digest' || audience === 'own') return false;
    const wanting = filtered.filter(
      ({ rules, sendResolved }) => rules.includes(alert.rule) && (sendResolved || alert.state === 'firing'),
    );
    return wanting.length > 0 && !wanting.some(({ takes }) => takes(ownerOfAlert(alert)));
  });
  const last = unrouted.at(-1)?.alert;
  if (last === undefined) return 0;
  const { count } = await readUnrouted(sql);
  const next: UnroutedAlerts = {
    count: count + unrouted.length,
    last: last.time,
    title: last.title,
    owner: ownerOfAlert(last),
  };
  await new StoredSettings(sql).put(KEY, next);
  return unrouted.length;
}

export async function readUnrouted(sql: AdminSql): Promise<UnroutedAlerts> {
  const stored = unroutedAlerts.safeParse(await new StoredSettings(sql).get(KEY));
  return stored.success ? stored.data : NOTHING;
}
