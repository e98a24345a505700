/** All plans of `imdswatch enforce` that were reported to this collector, newest first. */
import type { Plan, StepCounts } from '../../../collector/contract/plan.ts';
import { usePlanFeed } from '../api/plan_feed.ts';
import { useResourceList } from '../api/resource.ts';
import { count } from '../format.ts';
import { ExportLinks } from '../parts/export.tsx';
import { FilterChips } from '../parts/filter.tsx';
import { PhaseTags, PlanBar } from '../parts/plan_state.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { type Column, More, Table } from '../parts/table.tsx';
import { ScreenHead } from '../shell.tsx';
import { RelativeTime } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { query, useUrlState } from '../url_state.ts';
import { FeedMark, NeverTried } from './plan_parts.tsx';
import './plans.css';

const PAGE_ROWS = 100;

export function PlansScreen() {
  const { params, set } = useUrlState();
  const phase = params.getAll('phase');
  const list = useResourceList<Plan>(`/plans${query({ phase })}`, PAGE_ROWS);
  const feed = usePlanFeed(null, list.reload);
  return (
    <>
      <ScreenHead
        title="Plans"
        subtitle="Changes by imdswatch enforce, as reported by the process that carries out each plan"
      >
        <FeedMark state={feed} />
        <ExportLinks path="/plans" filters={{ phase }} />
      </ScreenHead>
      <section class="panel flush" aria-label="Plans">
        <div class="filters">
          <FilterChips
            label="State"
            chosen={phase}
            onChange={(chosen) => set({ phase: chosen })}
            options={[
              { value: 'made', label: 'Not begun' },
              { value: 'running', label: 'Running' },
              { value: 'paused', label: 'Paused' },
              { value: 'ended', label: 'Ended' },
            ]}
          />
        </div>
        <ResourceView resource={list} rows={6}>
          {(plans) =>
            plans.length === 0 ? (
              <EmptyNotice title="No plans found.">
                Make one on the collector's machine, or on yours with --collector: imdswatch enforce plan
                --group asg:NAME
              </EmptyNotice>
            ) : (
              <>
                <Table caption="Plans" columns={COLUMNS} rows={plans} rowKey={({ id }) => id} />
                <More list={list} />
              </>
            )
          }
        </ResourceView>
      </section>
      <NeverTried />
    </>
  );
}

/** Says on narrow screens what has columns of its own on others. */
function troubles(states: StepCounts): string {
  const rolledBack = states.rolling_back + states.rolled_back;
  return [
    ...(rolledBack > 0 ? [`${count(rolledBack)} rolled back`] : []),
    ...(states.held > 0 ? [`${count(states.held)} held`] : []),
  ].join(', ');
}

const COLUMNS: Column<Plan>[] = [
  { label: 'State', cell: (plan) => <PhaseTags plan={plan} /> },
  {
    label: 'Plan',
    heading: true,
    cell: ({ id, created_by }) => (
      <span class="stacked">
        <a href={`/plans/${urlPart(id)}`}>{id}</a>
        <span class="quiet">made by {created_by}</span>
      </span>
    ),
  },
  {
    label: 'Progress',
    cell: ({ states, step_count: steps }) => (
      <span class="stacked">
        <PlanBar states={states} />
        <span class="quiet">
          {count(states.confirmed)} of {count(steps)} confirmed
        </span>
        <span class="narrow-only">{troubles(states)}</span>
      </span>
    ),
  },
  {
    label: 'Rolled back',
    numeric: true,
    only: 'medium',
    cell: ({ states }) => count(states.rolling_back + states.rolled_back),
  },
  { label: 'Held', numeric: true, only: 'medium', cell: ({ states }) => count(states.held) },
  {
    label: 'Begun',
    only: 'medium',
    cell: ({ begun, begun_by }) => (
      <span class="stacked">
        <RelativeTime at={begun} none="not yet" />
        {begun_by !== null && <span class="quiet">by {begun_by}</span>}
      </span>
    ),
  },
  { label: 'Soaking', numeric: true, only: 'wide', cell: ({ states }) => count(states.soaking) },
  { label: 'Made', only: 'wide', cell: ({ created }) => <RelativeTime at={created} /> },
  { label: 'Last report', only: 'medium', cell: ({ reported }) => <RelativeTime at={reported} /> },
];
