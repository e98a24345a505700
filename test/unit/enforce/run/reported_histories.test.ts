/** In random histories, with reports that are lost, repeated or late, the collector ends with what the plan has. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { phaseOf } from '../../../../enforce/run/describe_progress.ts';
import type { PlanReports } from '../../../../enforce/run/plan_reports.ts';
import { ProgressReporter } from '../../../../enforce/run/progress_reporter.ts';
import type { PlanEvent } from '../../../../enforce/state/events.ts';
import { reduce } from '../../../../enforce/state/reduce.ts';
import { initialState } from '../../../../enforce/state/step_state.ts';
import type { PlanReport } from '../../../../protocol/plan_report.ts';
import { instanceStep, planOf } from '../../../support/enforce/plans.ts';
import { SimulatedPlan } from '../../../support/enforce/simulated_plan.ts';

const HISTORIES = 150;
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-reported-'));
after(() => rmSync(directory, { recursive: true }));

test(`in ${HISTORIES} random histories the collector ends with the states of the plan`, async () => {
  const database = openAdmin(directory);
  after(() => database.close());
  const { plans } = new SqliteAdminStore(database);
  let number = 0;
  const seen = new Set<string>();
  const faults = fc.infiniteStream(fc.integer({ min: 0, max: 5 }));
  const decisions = fc.array(fc.nat({ max: 999 }), { maxLength: 120, size: 'max' });
  await fc.assert(
    fc.asyncProperty(
      decisions,
      faults,
      fc.array(fc.nat({ max: 400 }), { maxLength: 3 }),
      async (numbers, fault, ends) => {
        number += 1;
        const id = `p-${number.toString(16).padStart(12, '0')}`;
        const steps = [
          instanceStep(1, { role: 'canary' }),
          instanceStep(2, { wave: 2 }),
          instanceStep(3, { wave: 2 }),
          instanceStep(4, { group: 'asg:db', role: 'canary' }),
          instanceStep(5, { instance: 2, wave: 0, role: 'hop_limit', change: { hop_limit: 2 } }),
        ];
        const plan = { ...planOf(steps, {}, 8), id };
        const run = new SimulatedPlan(plan, numbers);
        for (let turns = 0; turns < 500 && run.advance(); turns += 1);
        const events = run.events;

        let isFaulty = true;
        let late: PlanReport | null = null;
        const reports: PlanReports = {
          send: async (planId, report) => {
            const kind = isFaulty ? fault.next().value : 5;
            if (kind === 0) throw new Error('The report was lost.');
            const answer = await plans.report(planId, report, 'tester', 1_000_000);
            // The report of before arrives once more, as after a time-out of its client.
            if (late !== null && kind === 2) {
              const again = () => plans.report(planId, late!, 'tester', 1_000_000);
              if (late.sequence < report.sequence) await assert.rejects(again, /are known already/);
            }
            late = report;
            if (kind === 1) throw new Error('The answer was lost.');
            return { steps: answer.steps, sequence_before: answer.sequence_before };
          },
        };
        // Several processes carry the plan out, one after the other. The last one has a collector that works.
        const cuts = [...ends.map((end) => end % (events.length + 1)).sort((a, b) => a - b), events.length];
        let done = 0;
        for (const [index, cut] of cuts.entries()) {
          isFaulty = index < cuts.length - 1;
          const past = events.slice(0, done);
          const state = past.reduce((before, event) => reduce(plan, before, event), initialState(plan));
          const reporter = new ProgressReporter({ plan, events: past, state, reports, onProblem: () => {} });
          carryOn(reporter, plan, state, events.slice(done, cut));
          await reporter.close();
          done = cut;
        }

        const shown = (await plans.one(id))!;
        assert.equal(shown.phase, phaseOf(plan, run.state));
        assert.equal(shown.is_carried_out, false);
        const listed = await plans.steps(id, {
          states: null,
          group: null,
          wave: null,
          after: null,
          limit: 100,
        });
        for (const step of listed) {
          const own = run.state.steps[step.id]!;
          assert.equal(step.state, own.status, step.id);
          assert.equal(step.refusal?.caller, own.refusal?.caller.title, step.id);
          seen.add(step.state);
        }
        assert.equal(listed.length, steps.length);
        const confirmed = (await plans.confirmedHosts()).filter(
          (host) => host.plan === id && host.driftedUs === null,
        );
        const expected = steps.filter(
          ({ id: step, change }) =>
            change.http_tokens === 'required' && run.state.steps[step]!.status === 'confirmed',
        );
        assert.deepEqual(
          confirmed.map(({ step }) => step).sort(),
          expected.map(({ id: step }) => step).sort(),
        );
        // The hosts of the next history have the same ids.
        database.exec('DELETE FROM confirmed_hosts');
      },
    ),
    { numRuns: HISTORIES },
  );
  for (const state of ['confirmed', 'rolled_back', 'held'] as const) {
    assert.ok(seen.has(state), `no history had a step that was ${state}`);
  }
});

function carryOn(
  reporter: ProgressReporter,
  plan: Parameters<typeof reduce>[0],
  begun: ReturnType<typeof initialState>,
  events: readonly PlanEvent[],
): void {
  let state = begun;
  for (const event of events) {
    state = reduce(plan, state, event);
    reporter.note(event, state);
  }
}
