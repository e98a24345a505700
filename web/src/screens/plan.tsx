/** One plan, live: its waves, the state of each step, and the refused calls that rolled steps back. */
import { useRoute } from 'preact-iso/router';
import type { PlanDetail, PlanStep, PlanWave } from '../../../collector/contract/plan.ts';
import { usePlanFeed } from '../api/plan_feed.ts';
import { useResource } from '../api/resource.ts';
import { count, plural } from '../format.ts';
import { VerdictBadge } from '../parts/badge.tsx';
import { Code } from '../parts/copy.tsx';
import { ExportLinks } from '../parts/export.tsx';
import { FactList, Panel } from '../parts/panel.tsx';
import { PhaseTags, PlanBar, STEP_STATE, StepStateTag, stepStates } from '../parts/plan_state.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { ScreenHead } from '../shell.tsx';
import { standstill } from '../standstill.ts';
import { LocalTime, RelativeTime, useNow } from '../time.tsx';
import { urlPart } from '../url_part.ts';
import { query, useUrlState } from '../url_state.ts';
import { FeedMark, NeverTried } from './plan_parts.tsx';
import './detail.css';
import './plans.css';

/** The most that the API gives at once. A larger plan is looked at wave by wave. */
const MAX_STEPS = 1000;

const ROLES: Record<PlanWave['role'], string> = {
  hop_limit: 'Hop limits',
  canary: 'Canary',
  wave: 'Wave',
  template: 'Launch template',
  go_live: 'Template goes live',
  account: "Account's default",
};

export function PlanScreen() {
  const id = useRoute().params['id']!;
  const { params } = useUrlState();
  const filters = {
    state: params.getAll('state'),
    group: params.get('group'),
    wave: params.get('wave'),
  };
  const resource = useResource<PlanDetail>(`/plans/${urlPart(id)}`);
  const steps = useResource<{ items: PlanStep[]; next: string | null }>(
    `/plans/${urlPart(id)}/steps${query({ ...filters, limit: MAX_STEPS })}`,
  );
  const feed = usePlanFeed(id, () => {
    resource.reload();
    steps.reload();
  });
  const plan = resource.data;
  return (
    <>
      <ScreenHead
        title={id}
        badge={plan && <PhaseTags plan={plan} />}
        subtitle={plan && <Origin plan={plan} />}
        back={{ href: '/plans', label: 'Plans' }}
      >
        <FeedMark state={feed} />
        <ExportLinks path={`/plans/${urlPart(id)}/steps`} filters={filters} />
      </ScreenHead>
      <ResourceView resource={resource} rows={12} tall>
        {(data) => (
          <div class="detail">
            <Refusals plan={data} />
            <div class="columns">
              <div>
                <Progress plan={data} chosen={filters.state} />
                <Panel title="Waves" note="A wave begins when the one before it is confirmed" flush>
                  <Waves plan={data} chosen={filters} />
                </Panel>
              </div>
              <div>
                <Facts plan={data} />
              </div>
            </div>
            <Panel title="Steps" class="plan-steps" aside={<Chosen filters={filters} />} flush>
              <ResourceView resource={steps} rows={8}>
                {({ items, next }) => <Steps steps={items} isMore={next !== null} />}
              </ResourceView>
            </Panel>
          </div>
        )}
      </ResourceView>
      <NeverTried />
    </>
  );
}

function Origin({ plan: { created, created_by, begun, begun_by } }: { plan: PlanDetail }) {
  return (
    <>
      Made by {created_by} <RelativeTime at={created} />
      {begun !== null && (
        <>
          {' · '}begun by {begun_by} <RelativeTime at={begun} />
        </>
      )}
    </>
  );
}

function Refusals({ plan: { refusals } }: { plan: PlanDetail }) {
  if (refusals.length === 0) return null;
  return (
    <Panel
      title="Refused calls"
      note="Calls without a token that were answered with 401"
      class="refused tone-critical"
    >
      <ul class="refusals">
        {refusals.map(({ host, caller, caller_id, at, rolled_back, held }) => (
          <li key={`${host} ${caller_id} ${at}`}>
            <a href={`/offenders/${urlPart(caller_id)}`}>{caller}</a> called without a token on{' '}
            <a href={`/hosts/${urlPart(host)}`}>{host}</a> on <LocalTime at={at} /> and was refused.{' '}
            {plural(rolled_back, 'step')} rolled back{held > 0 && `, ${count(held)} held`}.
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function Progress({ plan, chosen }: { plan: PlanDetail; chosen: string[] }) {
  const { set } = useUrlState();
  return (
    <Panel title="Progress" aside={`${count(plan.states.confirmed)} of ${count(plan.step_count)} confirmed`}>
      <PlanBar states={plan.states} />
      <ul class="step-counts" aria-label="Steps by state">
        {stepStates
          .filter((state) => plan.states[state] > 0)
          .map((state) => {
            const isChosen = chosen.includes(state);
            return (
              <li key={state}>
                <button
                  type="button"
                  class={`chip tone-${STEP_STATE[state].tone}`}
                  aria-pressed={isChosen}
                  title={STEP_STATE[state].meaning}
                  onClick={() =>
                    set({ state: isChosen ? chosen.filter((each) => each !== state) : [...chosen, state] })
                  }
                >
                  {STEP_STATE[state].label} <b>{count(plan.states[state])}</b>
                </button>
              </li>
            );
          })}
      </ul>
    </Panel>
  );
}

function Facts({ plan }: { plan: PlanDetail }) {
  const still = standstill(plan, useNow());
  return (
    <Panel title="State" class="plan-facts">
      <FactList
        facts={[
          ['Since', <LocalTime key="since" at={plan.phase_since} />],
          ['Why it is paused', plan.phase_reason],
          ['Carried out', plan.is_carried_out ? 'by a process' : 'by no process now'],
          ['Last report', <RelativeTime key="reported" at={plan.reported} />],
          ['Reported by', plan.reported_by],
          ['Steps', count(plan.step_count)],
          ['Left out', plan.left_out_count === 0 ? null : plural(plan.left_out_count, 'host')],
        ]}
      />
      {still !== null && <p class="standstill">{still}</p>}
      <p class="standstill quiet">What to do next, on the machine that has the plan:</p>
      <Code code={`imdswatch enforce status ${plan.id}`} label="Command that shows the plan on its machine" />
    </Panel>
  );
}

interface Filters {
  state: string[];
  group: string | null;
  wave: string | null;
}

function Waves({ plan: { waves, wave_count: all }, chosen }: { plan: PlanDetail; chosen: Filters }) {
  const { set } = useUrlState();
  const isChosen = ({ group, wave }: PlanWave) => chosen.group === group && chosen.wave === String(wave);
  return (
    <>
      <Table
        caption="Waves"
        rows={waves}
        rowKey={({ group, wave, role }) => `${wave} ${role} ${group}`}
        columns={[
          {
            label: 'Wave',
            heading: true,
            cell: (each) => (
              <button
                type="button"
                class="chip"
                aria-pressed={isChosen(each)}
                title="Show only the steps of this wave"
                onClick={() =>
                  set(
                    isChosen(each)
                      ? { group: null, wave: null }
                      : { group: each.group, wave: String(each.wave) },
                  )
                }
              >
                {count(each.wave)} {ROLES[each.role]}
              </button>
            ),
          },
          { label: 'Group', cell: ({ group }) => <GroupName group={group} /> },
          {
            label: 'Progress',
            cell: ({ states, step_count: steps }) => (
              <span class="stacked">
                <PlanBar states={states} />
                <span class="quiet">
                  {stepStates
                    .filter((state) => states[state] > 0)
                    .map((state) => `${count(states[state])} ${STEP_STATE[state].label.toLowerCase()}`)
                    .join(', ')}
                  {` of ${count(steps)}`}
                </span>
              </span>
            ),
          },
        ]}
      />
      {all > waves.length && (
        <p class="table-note">
          These are the first {count(waves.length)} of {plural(all, 'wave')}.
        </p>
      )}
    </>
  );
}

/** Groups that the collector judges have a screen. `none:` stands for instances without a group. */
function GroupName({ group }: { group: string }) {
  if (!group.startsWith('asg:')) {
    return <span class="quiet">{group.startsWith('none:') ? `no group, ${group.slice(5)}` : group}</span>;
  }
  return <a href={`/groups/${urlPart(group)}`}>{group.slice(4)}</a>;
}

function Chosen({ filters: { state, group, wave } }: { filters: Filters }) {
  const { set } = useUrlState();
  if (state.length === 0 && group === null && wave === null) return null;
  return (
    <button type="button" class="button small" onClick={() => set({ state: null, group: null, wave: null })}>
      Show all steps
    </button>
  );
}

function Steps({ steps, isMore }: { steps: PlanStep[]; isMore: boolean }) {
  if (steps.length === 0) return <EmptyNotice title="No step is like that now." />;
  return (
    <>
      <Table
        caption="Steps of the plan, by wave"
        rows={steps}
        rowKey={({ id }) => id}
        columns={[
          {
            label: 'Target',
            heading: true,
            cell: ({ target, id }) => (
              <span class="stacked">
                <Target target={target} />
                <span class="quiet">
                  {id} · {target.type === 'instance' ? target.id : `${target.account} · ${target.region}`}
                </span>
              </span>
            ),
          },
          { label: 'State', cell: (step) => <StepStateTag step={step} /> },
          { label: 'Since', cell: ({ since }) => <RelativeTime at={since} none="–" /> },
          {
            label: 'Reason',
            cell: ({ reason, refusal }) => (
              <span class="reason">
                {reason ?? <span class="quiet">–</span>}
                {refusal !== null && (
                  <>
                    {' '}
                    <a href={`/offenders/${urlPart(refusal.caller_id)}`}>Caller: {refusal.caller}</a>
                  </>
                )}
              </span>
            ),
          },
          { label: 'Change', only: 'medium', cell: ({ change }) => changeText(change) },
          {
            label: 'Wave',
            only: 'medium',
            cell: ({ wave, role }) => `${count(wave)} ${ROLES[role]}`,
          },
          { label: 'Group', only: 'wide', cell: ({ group }) => <GroupName group={group} /> },
          {
            label: 'Verdict of the plan',
            only: 'widest',
            cell: ({ verdict }) =>
              verdict === null ? <span class="quiet">none</span> : <VerdictBadge verdict={verdict} />,
          },
        ]}
      />
      {isMore && (
        <p class="table-note">
          These are the first {count(MAX_STEPS)}. Choose a wave or a state to see the others, or export all.
        </p>
      )}
    </>
  );
}

function Target({ target }: { target: PlanStep['target'] }) {
  switch (target.type) {
    case 'instance':
      return <a href={`/hosts/${urlPart(target.id ?? '')}`}>{target.name || target.id}</a>;
    case 'template':
      return <span>New version of {target.id}</span>;
    case 'template_default':
      return <span>Default version of {target.id}</span>;
    case 'group_version':
      return <span>Template version of {target.id}</span>;
    case 'account_default':
      return <span>Default of {target.account}</span>;
  }
}

function changeText({ http_tokens: tokens, hop_limit: limit }: PlanStep['change']): string {
  return [tokens && `tokens ${tokens}`, limit && `hop limit ${count(limit)}`].filter(Boolean).join(', ');
}
