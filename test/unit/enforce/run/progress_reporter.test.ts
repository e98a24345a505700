/** Tests that reports follow a plan, survive a collector that is away, and never hold the runner up. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Plan } from '../../../../enforce/plan.ts';
import { phaseOf } from '../../../../enforce/run/describe_progress.ts';
import type { PlanReports } from '../../../../enforce/run/plan_reports.ts';
import { ProgressReporter } from '../../../../enforce/run/progress_reporter.ts';
import type { PlanEvent } from '../../../../enforce/state/events.ts';
import { reduce } from '../../../../enforce/state/reduce.ts';
import { initialState, type PlanState, type StepState } from '../../../../enforce/state/step_state.ts';
import {
  MAX_STEPS_OF_REPORT,
  type PlanReport,
  type PlanReportAnswer,
  type PlanStepReport,
  planReport,
} from '../../../../protocol/plan_report.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { instanceId, instanceStep, planOf } from '../../../support/enforce/plans.ts';

/** A collector that keeps the latest report of each step, as the real one does. */
class FakeCollector implements PlanReports {
  readonly reports: PlanReport[] = [];
  readonly steps = new Map<string, PlanStepReport>();
  sequence: number | null = null;
  isAway = false;

  async send(_planId: string, report: PlanReport): Promise<PlanReportAnswer> {
    if (this.isAway) throw new Error('The collector is away.');
    this.reports.push(planReport.parse(report));
    for (const step of report.steps) this.steps.set(step.id, step);
    const before = this.sequence;
    this.sequence = report.sequence;
    return { steps: this.steps.size, sequence_before: before };
  }

  states(): string[] {
    return [...this.steps.values()].map(({ state }) => state);
  }
}

function begin(plan: Plan, events: PlanEvent[] = []) {
  const collector = new FakeCollector();
  const problems: (string | null)[] = [];
  let state = events.reduce((before, event) => reduce(plan, before, event), initialState(plan));
  const reporter = new ProgressReporter({
    ...{ plan, events, state, reports: collector },
    onProblem: (message) => problems.push(message),
  });
  const note = (event: PlanEvent, change?: (state: PlanState) => PlanState) => {
    state = reduce(plan, state, event);
    if (change !== undefined) state = change(state);
    reporter.note(event, state);
  };
  return { collector, problems, reporter, note };
}

/** Sets the state of steps, to spare the events that lead to it. */
function having(changes: Record<string, Partial<StepState>>) {
  return (state: PlanState): PlanState => ({
    ...state,
    steps: {
      ...state.steps,
      ...Object.fromEntries(
        Object.entries(changes).map(([id, own]) => [id, { ...state.steps[id]!, ...own }]),
      ),
    },
  });
}

const BEGUN: PlanEvent = { type: 'begun', at: 1_000_000_000_000, by: 'command:tester' };

test('the first report has every step, and the next ones what has changed', async () => {
  const plan = planOf([instanceStep(1, { role: 'canary' }), instanceStep(2, { wave: 2 })]);
  const { collector, reporter, note } = begin(plan);
  note(BEGUN);
  await eventually('reported', () => collector.reports.length === 1);
  const [first] = collector.reports;
  assert.deepEqual([first!.phase, first!.begun_by, first!.sequence], ['running', 'command:tester', 1]);
  assert.deepEqual(
    first!.steps.map(({ id, state }) => [id, state]),
    [
      ['s1', 'planned'],
      ['s2', 'planned'],
    ],
  );
  assert.deepEqual(first!.steps[0]!.target, {
    type: 'instance',
    account: '123456789012',
    region: 'eu-central-1',
    id: instanceId(1),
    name: 'host-1',
  });
  note(
    { type: 'paused', at: BEGUN.at + 5, by: 'x', reason: 'lunch' },
    having({ s1: { status: 'soaking', sinceMs: BEGUN.at, watchedMs: 300_000 } }),
  );
  await eventually('reported again', () => collector.reports.length === 2);
  const second = collector.reports[1]!;
  assert.deepEqual([second.phase, second.phase_reason, second.sequence], ['paused', 'lunch', 2]);
  assert.equal(second.phase_since, new Date(BEGUN.at + 5).toISOString());
  assert.deepEqual(
    second.steps.map(({ id, state, soak_percent }) => [id, state, soak_percent]),
    [['s1', 'soaking', 25]],
  );
  await reporter.close();
  const last = collector.reports.at(-1)!;
  assert.deepEqual([last.is_carried_out, last.steps], [false, []]);
});

test('a large plan arrives in several reports, the last of which says so', async () => {
  const plan = planOf(Array.from({ length: 250 }, (_, index) => instanceStep(index + 1)));
  const { collector, reporter } = begin(plan);
  await reporter.close();
  assert.deepEqual(
    collector.reports.map(({ steps, has_more }) => [steps.length, has_more]),
    [
      [MAX_STEPS_OF_REPORT, true],
      [MAX_STEPS_OF_REPORT, true],
      [50, false],
    ],
  );
  assert.equal(collector.steps.size, 250);
  assert.equal(collector.reports[0]!.phase, 'made');
});

test('a collector that was away gets the latest state once, and the operator reads of it once', async () => {
  const plan = planOf([instanceStep(1)]);
  const { collector, problems, reporter, note } = begin(plan);
  collector.isAway = true;
  note(BEGUN);
  await eventually('a problem', () => problems.length === 1);
  note({ type: 'paused', at: BEGUN.at + 1, by: 'x', reason: 'one' });
  note({ type: 'resumed', at: BEGUN.at + 2, by: 'x' });
  collector.isAway = false;
  await eventually('the end of the problem', () => problems.length === 2);
  assert.deepEqual(problems, ['The collector is away.', null]);
  assert.deepEqual(
    collector.reports.map(({ phase, sequence }) => [phase, sequence]),
    [['running', 3]],
  );
  await reporter.close();
});

test('steps that the collector has lost are sent again', async () => {
  const plan = planOf([instanceStep(1), instanceStep(2)]);
  const { collector, reporter, note } = begin(plan);
  note(BEGUN);
  await eventually('reported', () => collector.steps.size === 2);
  collector.steps.clear();
  note({ type: 'paused', at: BEGUN.at + 1, by: 'x', reason: 'one' });
  await eventually('all of it', () => collector.steps.size === 2);
  await reporter.close();
});

test('steps that a restored backup has in an older state are sent again', async () => {
  const plan = planOf([instanceStep(1), instanceStep(2)]);
  const { collector, reporter, note } = begin(plan);
  note(BEGUN);
  await eventually('reported', () => collector.sequence === 1);
  const backup = new Map(collector.steps);
  note(
    { type: 'paused', at: BEGUN.at + 1, by: 'x', reason: 'one' },
    having({ s1: { status: 'soaking', sinceMs: BEGUN.at } }),
  );
  await eventually('reported again', () => collector.sequence === 2);
  assert.deepEqual(collector.states(), ['soaking', 'planned']);
  for (const [id, step] of backup) collector.steps.set(id, step);
  collector.sequence = 1;
  note({ type: 'resumed', at: BEGUN.at + 2, by: 'x' });
  await eventually('all of it', () => collector.states()[0] === 'soaking');
  await reporter.close();
});

test('the end waits for no collector that does not answer', async () => {
  const plan = planOf([instanceStep(1)]);
  const reporter = new ProgressReporter({
    ...{ plan, events: [], state: initialState(plan) },
    reports: { send: () => new Promise(() => {}) },
    onProblem: () => assert.fail('nothing has failed'),
  });
  const beganMs = performance.now();
  await reporter.close();
  assert.ok(performance.now() - beganMs < 20_000);
});

test('a step names the refused call that rolled it back', async () => {
  const plan = planOf([
    instanceStep(1, { role: 'canary' }),
    instanceStep(2, { wave: 2 }),
    instanceStep(3, { group: 'asg:db' }),
  ]);
  const { collector, reporter, note } = begin(plan, [BEGUN]);
  const refused: PlanEvent = {
    type: 'refused_call',
    at: BEGUN.at + 9000,
    host: instanceId(1),
    groups: ['asg:web'],
    caller: { id: 'abc', title: '/opt/old.py' },
    call: 'c1',
    also_on: [instanceId(3)],
  };
  note(
    { type: 'taken_over', at: BEGUN.at + 1 },
    having({ s1: { status: 'soaking', sinceMs: BEGUN.at, isWritten: true } }),
  );
  note(refused);
  await reporter.close();
  const refusal = {
    host: instanceId(1),
    caller_id: 'abc',
    caller: '/opt/old.py',
    at: new Date(refused.at).toISOString(),
  };
  assert.deepEqual(
    [...collector.steps.values()].map(({ id, state, refusal: of }) => [id, state, of]),
    [
      ['s1', 'rolling_back', refusal],
      ['s2', 'held', refusal],
      ['s3', 'held', refusal],
    ],
  );
  assert.equal(collector.reports.at(-1)!.phase, 'paused');
});

test('a plan has ended when no step can go on, whatever the last order was', () => {
  const plan = planOf([instanceStep(1), instanceStep(2, { wave: 2 })]);
  const running = reduce(plan, initialState(plan), BEGUN);
  const paused = reduce(plan, running, { type: 'paused', at: BEGUN.at, by: 'x', reason: 'y' });
  assert.equal(phaseOf(plan, initialState(plan)), 'made');
  assert.equal(phaseOf(plan, running), 'running');
  assert.equal(phaseOf(plan, having({ s1: { status: 'confirmed' } })(paused)), 'paused');
  assert.equal(
    phaseOf(plan, having({ s1: { status: 'failed' } })(running)),
    'ended',
    'wave 2 is never reached',
  );
  assert.equal(
    phaseOf(plan, having({ s1: { status: 'rolled_back' }, s2: { status: 'held' } })(paused)),
    'ended',
  );
});
