/** The offenders of the overview: those to fix first, or the newest. The address holds the choice. */
import type { Offender } from '../../../collector/contract/offender.ts';
import { useResource } from '../api/resource.ts';
import { count, plural } from '../format.ts';
import { SeverityBadge } from '../parts/badge.tsx';
import { FilterChips } from '../parts/filter.tsx';
import { Panel } from '../parts/panel.tsx';
import { PathText } from '../parts/path_text.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { RelativeTime } from '../time.tsx';
import { daysOf, query, useUrlState } from '../url_state.ts';

const OFFENDERS_SHOWN = 8;

interface View {
  label: string;
  /** The order in which the collector lists the offenders. */
  sort: string;
  note: string;
  timeLabel: string;
  timeOf: (offender: Offender) => string | null;
}

const VIEWS = {
  first: {
    label: 'Fix first',
    sort: 'priority',
    note: 'Credentials over IMDSv1 first, then the fixes that free the most hosts',
    timeLabel: 'last call',
    timeOf: ({ last_v1 }) => last_v1,
  },
  newest: {
    label: 'Newest',
    sort: '-first_v1',
    note: 'By the first IMDSv1 call, newest first',
    timeLabel: 'first call',
    timeOf: ({ first_v1 }) => first_v1,
  },
} as const satisfies Record<string, View>;
type ViewName = keyof typeof VIEWS;

export function OffendersPanel({ windowParams }: { windowParams: { days?: number } }) {
  const { params, set } = useUrlState();
  const chosen: ViewName = params.get('offenders') === 'newest' ? 'newest' : 'first';
  const view: View = VIEWS[chosen];
  const offenders = useResource<{ items: Offender[] }>(
    `/offenders${query({ days: daysOf(params), sort: view.sort, limit: OFFENDERS_SHOWN })}`,
  );
  return (
    <Panel
      title="Offenders"
      class="offenders"
      flush
      note={view.note}
      aside={
        <span class="views">
          <FilterChips
            label="Order of the offenders"
            chosen={[chosen]}
            onChange={(next) =>
              set({ offenders: next.includes('newest') && chosen === 'first' ? 'newest' : null })
            }
            options={(Object.keys(VIEWS) as ViewName[]).map((name) => ({
              value: name,
              label: VIEWS[name].label,
            }))}
          />
          <a href={`/offenders${query({ ...windowParams, sort: view.sort })}`}>All offenders</a>
        </span>
      }
    >
      <ResourceView resource={offenders} rows={4}>
        {({ items }) => <Offenders offenders={items} view={view} windowParams={windowParams} />}
      </ResourceView>
    </Panel>
  );
}

interface OffendersProps {
  offenders: Offender[];
  view: View;
  windowParams: { days?: number };
}

function Offenders({ offenders, view, windowParams }: OffendersProps) {
  const calling = offenders.filter(({ first_v1 }) => first_v1 !== null);
  if (calling.length === 0) {
    return (
      <EmptyNotice title="No workload called IMDSv1.">
        Tokens can be required on the hosts that are ready.
      </EmptyNotice>
    );
  }
  return (
    <ul class="rows">
      {calling.map((offender) => (
        <li key={offender.id}>
          <span class="severity">
            <SeverityBadge severity={offender.severity} />
          </span>
          <span class="stacked">
            <a href={`/offenders/${offender.id}${query(windowParams)}`}>
              <PathText text={offender.title} />
            </a>
            <span class="quiet">
              {freedText(offender)} · {plural(offender.calls_v1, 'IMDSv1 call')} · {offender.advice_headline}
            </span>
          </span>
          <span class="time">
            {view.timeLabel} <RelativeTime at={view.timeOf(offender)} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function freedText({ hosts_freed, host_count }: Offender): string {
  return `a fix frees ${hosts_freed === 0 ? 'none' : count(hosts_freed)} of ${plural(host_count, 'host')}`;
}
