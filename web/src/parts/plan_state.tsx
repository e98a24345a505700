/** The states of plans and of their steps, in words and colours, and the bar of a plan's progress. */
import type { Plan, PlanStep, StepCounts } from '../../../collector/contract/plan.ts';
import { count } from '../format.ts';
import { standstill } from '../standstill.ts';
import { useNow } from '../time.tsx';
import { Tag, type Tone } from './badge.tsx';
import './plan_state.css';

interface Look {
  label: string;
  tone: Tone;
  meaning: string;
}

type StepState = PlanStep['state'];

/** In the order of the progress bar: from done to not begun. */
export const STEP_STATE: Record<StepState, Look> = {
  confirmed: { label: 'Confirmed', tone: 'good', meaning: 'It was watched for the whole soak.' },
  skipped: { label: 'Skipped', tone: 'good', meaning: 'There was nothing to do, or the target is gone.' },
  soaking: { label: 'Soaking', tone: 'sealed', meaning: 'The change is in force, and is watched.' },
  applied: { label: 'Applied', tone: 'sealed', meaning: 'The change is in force.' },
  pending: {
    label: 'Pending',
    tone: 'medium',
    meaning: 'AWS has accepted the change. It is not in force yet.',
  },
  sent: { label: 'Sent', tone: 'medium', meaning: 'The change is under way.' },
  unclear: {
    label: 'Unclear',
    tone: 'medium',
    meaning: 'The answer was lost. The value is read, not sent again.',
  },
  rolling_back: {
    label: 'Rolling back',
    tone: 'critical',
    meaning: 'The recorded value is being given back.',
  },
  rolled_back: { label: 'Rolled back', tone: 'critical', meaning: 'The recorded value is in force again.' },
  held: { label: 'Held', tone: 'high', meaning: 'Nothing more happens without a person.' },
  drifted: { label: 'Drifted', tone: 'critical', meaning: 'Somebody else has changed it.' },
  failed: { label: 'Failed', tone: 'high', meaning: 'AWS refused the change. Nothing was changed.' },
  refused: { label: 'Refused', tone: 'high', meaning: 'A guard says no. Nothing was changed.' },
  waiting: { label: 'Waiting', tone: 'neutral', meaning: 'A guard says: not now. It is asked again.' },
  checked: { label: 'Checked', tone: 'neutral', meaning: 'Every guard agrees. It is sent next.' },
  planned: { label: 'Planned', tone: 'neutral', meaning: 'Nothing was done yet.' },
};

export const stepStates = Object.keys(STEP_STATE) as StepState[];

export function StepStateTag({ step }: { step: Pick<PlanStep, 'state' | 'soak_percent'> }) {
  const { label, tone, meaning } = STEP_STATE[step.state];
  const soaked = step.soak_percent === null ? '' : ` ${step.soak_percent} %`;
  return (
    <Tag tone={tone} title={meaning}>
      {label + soaked}
    </Tag>
  );
}

const PHASE: Record<Plan['phase'], Look> = {
  made: { label: 'Not begun', tone: 'neutral', meaning: 'The plan was made. Nothing was changed.' },
  running: { label: 'Running', tone: 'sealed', meaning: 'Its process carries it out.' },
  paused: { label: 'Paused', tone: 'high', meaning: 'No change goes forward. Reads and roll-backs go on.' },
  ended: { label: 'Ended', tone: 'good', meaning: 'Nothing more happens to any step by itself.' },
};

export function PhaseTags({ plan }: { plan: Plan }) {
  const still = standstill(plan, useNow());
  const { label, meaning } = PHASE[plan.phase];
  const isGood = plan.states.confirmed + plan.states.skipped === plan.step_count;
  const tone = plan.phase === 'ended' && !isGood ? 'high' : PHASE[plan.phase].tone;
  return (
    <span class="phase-tags">
      <Tag tone={tone} title={meaning}>
        {label}
      </Tag>
      {still !== null && (
        <Tag tone="high" title={still}>
          {plan.is_carried_out ? 'No report' : 'No process'}
        </Tag>
      )}
    </span>
  );
}

/** The share of steps in each state. The numbers beside it say the same, so screen readers skip it. */
export function PlanBar({ states }: { states: StepCounts }) {
  return (
    <div class="plan-bar" aria-hidden="true">
      {stepStates
        .filter((state) => states[state] > 0)
        .map((state) => (
          <i
            key={state}
            class={state === 'planned' ? 'empty' : `tone-${STEP_STATE[state].tone}`}
            title={`${STEP_STATE[state].label}: ${count(states[state])}`}
            style={{ flexGrow: String(states[state]) }}
          />
        ))}
    </div>
  );
}
