/** Tests the screens of plans in Chromium: the list, one plan, and that it follows what its process reports. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { storePlanReport } from '../../../collector/local.ts';
import type { PlanReport, PlanStepReport } from '../../../protocol/plan_report.ts';
import { planReport } from '../../support/enforce/reports.ts';
import { FLEET } from '../../support/web/fleet.ts';
import { PageFixture } from '../../support/web/page_fixture.ts';
import {
  DONE_PLAN,
  fleetStep,
  MADE_PLAN,
  ROLLED_BACK_PLAN,
  SILENT_PLAN,
  SOAKING_PLAN,
} from '../../support/web/plans_of_fleet.ts';
import { cannotBrowse } from '../../support/web/site.ts';

describe('the screens of plans', { skip: cannotBrowse }, () => {
  let fixture: PageFixture;
  before(async () => {
    fixture = await PageFixture.open();
  });
  after(() => fixture?.close());

  test('the list has the state, the progress and the counts of each plan', async () => {
    const visit = await fixture.begin();
    await visit.go('/plans');
    const rows = await visit.rows('Plans');
    const cells = (id: string) => {
      const row = rows.find((each) => each[1]!.startsWith(id))!;
      return [row[0]!.replaceAll('\n', ' '), row[2]!.trim(), row[3], row[4]];
    };
    assert.deepEqual(cells(ROLLED_BACK_PLAN), ['Paused No process', '0 of 4 confirmed', '1', '2']);
    assert.deepEqual(cells(SOAKING_PLAN), ['Running', '1 of 4 confirmed', '0', '0']);
    assert.deepEqual(cells(DONE_PLAN), ['Ended', '1 of 1 confirmed', '0', '0']);
    assert.deepEqual(cells(MADE_PLAN), ['Not begun', '0 of 1 confirmed', '0', '0']);
    assert.deepEqual(cells(SILENT_PLAN), ['Running No report', '0 of 1 confirmed', '0', '0']);
    await visit.page.setViewportSize({ width: 400, height: 800 });
    await visit.page.getByText('1 rolled back, 2 held').waitFor();
    await visit.page.setViewportSize({ width: 1440, height: 900 });
    await visit.page.getByText('Nothing of it was tried against a real AWS account yet').waitFor();
    await visit.page.getByRole('button', { name: 'Ended' }).click();
    await visit.page.getByRole('link', { name: MADE_PLAN }).waitFor({ state: 'detached' });
    assert.equal(visit.address(), '/plans?phase=ended');
    await visit.page.getByRole('link', { name: DONE_PLAN }).click();
    await visit.page.getByRole('heading', { name: DONE_PLAN }).waitFor();
    await visit.end();
  });

  test('a plan that was rolled back names the caller, and its steps lead to hosts and offenders', async () => {
    const visit = await fixture.begin();
    await visit.go(`/plans/${ROLLED_BACK_PLAN}`);
    const refused = visit.page.getByRole('region', { name: 'Refused calls' });
    assert.match(
      await refused.innerText(),
      /\/opt\/backup\/bin\/backup-agent called without a token on .* and was refused\. 1 step rolled back, 2 held\./,
    );
    const rows = await visit.rows('Steps of the plan, by wave');
    assert.deepEqual(
      rows.map((cells) => [cells[0]!.split('\n')[0], cells[1]]),
      [
        ['edge-1', 'Rolled back'],
        ['edge-2', 'Held'],
        ['edge-3', 'Held'],
        ['New version of lt-0a1b2c3d4e5f60718', 'Planned'],
      ],
    );
    assert.match(rows[0]![3]!, /was refused\. Caller: \/opt\/backup/);
    await visit.page
      .getByText(`No process carries it out. Go on with: imdswatch enforce resume ${ROLLED_BACK_PLAN}`)
      .waitFor();

    await visit.page.getByRole('button', { name: 'Held 2' }).click();
    await visit.page.getByRole('link', { name: 'edge-1', exact: true }).waitFor({ state: 'detached' });
    assert.equal(visit.address(), `/plans/${ROLLED_BACK_PLAN}?state=held`);
    await visit.page.getByRole('button', { name: 'Show all steps' }).click();
    await visit.page.getByRole('button', { name: '3 Launch template' }).click();
    await visit.page.getByRole('link', { name: 'edge-2', exact: true }).waitFor({ state: 'detached' });
    await visit.settled();
    assert.equal((await visit.rows('Steps of the plan, by wave')).length, 1);
    await visit.page.getByRole('button', { name: 'Show all steps' }).click();
    await visit.page.getByRole('link', { name: 'edge-2', exact: true }).click();
    await visit.page.getByRole('heading', { name: 'edge-2' }).waitFor();
    await visit.end();
  });

  test('both screens follow what the process of the plan reports', async () => {
    const id = 'p-0b0000000001';
    const report = (sequence: number, step: Partial<PlanStepReport>, given: Partial<PlanReport> = {}) =>
      storePlanReport(
        { data_dir: fixture.site.dataDir },
        id,
        planReport([fleetStep(1, 9, step)], { sequence, ...given }),
        'command:root',
      );
    const visit = await fixture.begin();
    await visit.go('/plans');
    await visit.page.getByText('Live', { exact: true }).last().waitFor();
    await report(1, { state: 'sent', since: new Date().toISOString() });
    await visit.page.getByRole('link', { name: id }).click();
    const state = (name: string) =>
      visit.page.getByRole('table', { name: 'Steps' }).getByText(name, { exact: true });
    await state('Sent').waitFor();
    await report(2, { state: 'soaking', since: new Date().toISOString(), soak_percent: 1 });
    await state('Soaking 1 %').waitFor();
    const refusal = {
      ...{ host: FLEET[9]!.facts.id, caller_id: fixture.offenders[0]!.id, at: new Date().toISOString() },
      caller: '<img src=x onerror=alert(1)>',
    };
    await report(3, { state: 'rolling_back', since: refusal.at, refusal }, { phase: 'paused' });
    await state('Rolling back').waitFor();
    await visit.page.getByRole('link', { name: refusal.caller, exact: true }).click();
    await visit.page.getByRole('link', { name: 'Offenders' }).first().waitFor();
    assert.equal(visit.address(), `/offenders/${refusal.caller_id}`);
    await visit.end();
  });
});
