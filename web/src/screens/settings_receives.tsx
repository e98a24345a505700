/** Shows what a destination of alerts or of a stream gets, and the alerts that no destination got. */
import type { Destination, UnroutedAlerts } from '../../../collector/contract/destination.ts';
import { ALERT_RULES } from '../alert_rules.ts';
import { count } from '../format.ts';
import { SHAPES, STREAMS } from '../stream_names.ts';
import { RelativeTime } from '../time.tsx';

/** Says that alerts reached nobody, because every destination is for other owners. */
export function Unrouted({ unrouted }: { unrouted: UnroutedAlerts | undefined }) {
  // A collector of an earlier release, behind the same address, does not count them.
  if (unrouted === undefined || unrouted.count === 0) return null;
  const { count: alerts, last, title, owner } = unrouted;
  return (
    <p class="table-note unrouted" role="status">
      {`${count(alerts)} ${alerts === 1 ? 'alert was' : 'alerts were'} for no destination, because all that want such alerts are limited to other owners. The last one, `}
      <RelativeTime at={last} />
      {`, ${owner === null ? 'without an owner' : `of ${owner}`}: ${title ?? ''}`}
    </p>
  );
}

/** Shows what a destination gets. */
export function Receives({ destination }: { destination: Destination }) {
  const { stream, shape, rules } = destination;
  if (stream === 'alerts') {
    const owners = destination.owners ?? null;
    const all = rules.length === Object.keys(ALERT_RULES).length;
    return (
      <span class="stacked">
        <span>{all ? 'All alerts' : `Alerts: ${rules.map((rule) => ALERT_RULES[rule]).join(', ')}`}</span>
        {owners !== null && (
          <span class="quiet">
            {`Only of ${[...owners.patterns, ...(owners.unowned ? ['no owner'] : [])].join(', ')}`}
          </span>
        )}
      </span>
    );
  }
  return (
    <span class="stacked">
      <span>{STREAMS[stream].label}</span>
      {shape !== null && <span class="quiet">{SHAPES[shape]}</span>}
    </span>
  );
}
