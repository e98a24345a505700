/** The offenders of the overview: those to fix first, or the newest. The address holds the choice. */
import type { ComponentChildren } from 'preact';
import type { FixFirst } from '../../../collector/contract/fix_first.ts';
import { fixFirstSummary, notFreed } from '../../../collector/contract/fix_first_text.ts';
import type { Offender } from '../../../collector/contract/offender.ts';
import { useResource } from '../api/resource.ts';
import { count, plural } from '../format.ts';
import { SeverityBadge } from '../parts/badge.tsx';
import { FilterChips } from '../parts/filter.tsx';
import { Panel } from '../parts/panel.tsx';
import { PathText } from '../parts/path_text.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { isTriaged, TriageTag } from '../parts/triage.tsx';
import { RelativeTime } from '../time.tsx';
import { daysOf, query, useUrlState } from '../url_state.ts';

const OFFENDERS_SHOWN = 8;

const VIEWS = {
  first: { label: 'Fix first', note: 'The few workloads whose fix frees the most hosts, in their order' },
  newest: { label: 'Newest', note: 'By the first IMDSv1 call, newest first' },
} as const;
type ViewName = keyof typeof VIEWS;

export function OffendersPanel({ windowParams }: { windowParams: { days?: number } }) {
  const { params, set } = useUrlState();
  const chosen: ViewName = params.get('offenders') === 'newest' ? 'newest' : 'first';
  const days = daysOf(params);
  return (
    <Panel
      title="Offenders"
      class="offenders"
      flush
      note={VIEWS[chosen].note}
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
          <a
            href={`/offenders${query({ ...windowParams, sort: chosen === 'newest' ? '-first_v1' : 'priority' })}`}
          >
            All offenders
          </a>
        </span>
      }
    >
      {chosen === 'first' ? (
        <FixFirstRows days={days} windowParams={windowParams} />
      ) : (
        <OffenderRows days={days} windowParams={windowParams} order="newest" />
      )}
    </Panel>
  );
}

interface RowsProps {
  days: number;
  windowParams: { days?: number };
}

function FixFirstRows({ days, windowParams }: RowsProps) {
  const answer = useResource<FixFirst>(`/fix-first${query({ days, limit: OFFENDERS_SHOWN })}`);
  return (
    <ResourceView resource={answer} rows={4}>
      {(data) => (
        <>
          <div class="fix-summary">
            <p>{fixFirstSummary(data)}</p>
            {notFreed(data).map((text) => (
              <p key={text}>{text}</p>
            ))}
          </div>
          {data.fixes.length === 0 && data.held_hosts > 0 && (
            <OffenderRows days={days} windowParams={windowParams} order="priority" />
          )}
          <ol class="rows">
            {data.fixes.map((fix) => (
              <Row
                key={fix.id}
                offender={fix}
                windowParams={windowParams}
                detail={
                  fix.frees === 0
                    ? `frees no host alone: it shares all ${plural(fix.hosts, 'host')} with others`
                    : `frees ${count(fix.frees)} of its ${plural(fix.hosts, 'host')}`
                }
              >
                {plural(fix.freed, 'host')} freed so far
              </Row>
            ))}
          </ol>
        </>
      )}
    </ResourceView>
  );
}

/** Lists offenders: the newest, or the worst where no few fixes free a host. */
function OffenderRows({ days, windowParams, order }: RowsProps & { order: 'newest' | 'priority' }) {
  const sort = order === 'newest' ? '-first_v1' : 'priority';
  const offenders = useResource<{ items: Offender[] }>(
    `/offenders${query({ days, sort, limit: OFFENDERS_SHOWN })}`,
  );
  return (
    <ResourceView resource={offenders} rows={4}>
      {({ items }) => {
        const calling = items.filter(({ first_v1 }) => first_v1 !== null);
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
              <Row
                key={offender.id}
                offender={offender}
                windowParams={windowParams}
                detail={`on ${plural(offender.host_count, 'host')} · ${plural(offender.calls_v1, 'IMDSv1 call')} · ${offender.advice_headline}`}
              >
                {order === 'newest' ? 'first call ' : 'last call '}
                <RelativeTime at={order === 'newest' ? offender.first_v1 : offender.last_v1} />
              </Row>
            ))}
          </ul>
        );
      }}
    </ResourceView>
  );
}

interface RowProps {
  offender: Pick<Offender, 'id' | 'title' | 'severity' | 'triage'>;
  windowParams: { days?: number };
  detail: string;
  children: ComponentChildren;
}

function Row({ offender: { id, title, severity, triage }, windowParams, detail, children }: RowProps) {
  return (
    <li>
      <span class="severity">
        <SeverityBadge severity={severity} />
      </span>
      <span class="stacked">
        <a href={`/offenders/${id}${query(windowParams)}`}>
          <PathText text={title} />
        </a>
        <span class="quiet">
          {isTriaged(triage) && (
            <>
              <TriageTag triage={triage} /> {triage.owner && `${triage.owner} · `}
            </>
          )}
          {detail}
        </span>
      </span>
      <span class="time">{children}</span>
    </li>
  );
}
