/**
 * The alerts that are stored for the drafts of an evaluation: each for machines, summaries for people, and summaries for the
 * destinations that are limited to the alerts of some owners.
 */
import type { AdminStore } from '../admin/admin_store.ts';
import { ownerFilter, ownerOfAlert } from '../admin/alert_owners.ts';
import type { RecordedAlert } from '../admin/alert_records.ts';
import type { DestinationRow } from '../admin/destination_row.ts';
import type { Alert } from '../contract/alert.ts';
import type { AlertDraft } from './alert_draft.ts';
import { summary } from './alert_text.ts';
import { MAX_ALERTS_OF_ONE_RULE } from './evaluate.ts';

/** Alerts of one evaluation that are stored each for itself. Of more, only the summaries are stored, and the rest is counted. */
const MAX_EACH = 10_000;

interface LimitedDigests {
  /** Destinations that get summaries, and only alerts of some owners. */
  destinations: readonly Pick<DestinationRow, 'id' | 'owners'>[];
  /** Owners of open alerts by their `dedup_key`. An alert that resolves one of them has its owner. */
  openOwners: ReadonlyMap<string, string | null>;
}

const NO_LIMITED_DIGESTS: LimitedDigests = { destinations: [], openOwners: new Map() };

/** Returns the destinations that get summaries of the alerts of some owners, where there is anything to sum up. */
export async function limitedDigests(
  rows: Pick<AdminStore['alerts'], 'destinations' | 'open'>,
  drafts: readonly AlertDraft[],
): Promise<LimitedDigests> {
  if (drafts.every(({ members }) => members === undefined)) return NO_LIMITED_DIGESTS;
  const destinations = (await rows.destinations()).filter(
    ({ enabled, stream, digest, owners }) => enabled && stream === 'alerts' && digest && owners !== null,
  );
  if (destinations.length === 0) return NO_LIMITED_DIGESTS;
  const open = (await rows.open()).filter(({ object }) => object !== null);
  return { destinations, openOwners: new Map(open.map((alert) => [alert.dedup_key, ownerOfAlert(alert)])) };
}

/**
 * Returns the alerts of drafts, each summary behind the alerts that it stands for, and the number of alerts that are not
 * stored because there are too many. `alertOf` makes an alert with an id of its own.
 */
export function recordedAlerts(
  drafts: readonly AlertDraft[],
  alertOf: (draft: AlertDraft) => Alert,
  { destinations, openOwners }: LimitedDigests,
): { recorded: RecordedAlert[]; leftOut: number } {
  const recorded: RecordedAlert[] = [];
  const filters = destinations.map(({ id, owners }) => ({ id, takes: ownerFilter(owners) }));
  const ownerOf = (alert: Alert): string | null => {
    const before = alert.state === 'resolved' ? openOwners.get(alert.dedup_key) : undefined;
    return before === undefined ? ownerOfAlert(alert) : before;
  };
  let left = MAX_EACH;
  let leftOut = 0;
  for (const draft of drafts) {
    const members = draft.members ?? [];
    const each = members.slice(0, left).map((member) => ({ member, alert: alertOf(member) }));
    for (const { alert } of each) recorded.push({ alert, audience: 'each' });
    for (const { id: destination, takes } of filters) {
      const own = each.filter(({ alert }) => takes(ownerOf(alert)));
      if (own.length <= MAX_ALERTS_OF_ONE_RULE) continue;
      const sum = summary(
        draft.rule,
        own.map(({ member }) => member),
      );
      const covers = own.map(({ alert }) => alert.id);
      recorded.push({ alert: alertOf(sum), audience: 'own', destination, covers });
    }
    leftOut += Math.max(0, members.length - left);
    left = Math.max(0, left - members.length);
    recorded.push({ alert: alertOf(draft), audience: draft.members === undefined ? 'all' : 'digest' });
  }
  return { recorded, leftOut };
}
