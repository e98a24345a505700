/**
 * Tests the screens of offenders, hosts and calls in Chromium. A real collector serves the page, with two weeks of a
 * fleet in its store.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { FixFirst } from '../../../collector/contract/fix_first.ts';
import type { HostDetail, Overview } from '../../../collector/contract/host.ts';
import type { OffenderDetail } from '../../../collector/contract/offender.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { HOSTILE } from '../../support/web/fleet_callers.ts';
import { PageFixture } from '../../support/web/page_fixture.ts';
import { cannotBrowse } from '../../support/web/site.ts';

describe('the screens of findings', { skip: cannotBrowse }, () => {
  let fixture: PageFixture;
  before(async () => {
    fixture = await PageFixture.open();
  });
  after(() => fixture?.close());

  test('the overview shows the numbers of the API, and two orders of the offenders', async () => {
    const visit = await fixture.begin();
    await visit.go('/');
    const overview = await visit.api<Overview>('/overview?days=14');
    const tiles = (await visit.page.locator('.tile').allInnerTexts()).map((text) =>
      text.split('\n').slice(0, 2),
    );
    const count = (value: number) => value.toLocaleString('en-US');
    assert.deepEqual(tiles, [
      ['Credentials over IMDSv1', count(overview.calls.credentials_over_v1)],
      ['Offenders', count(overview.offenders)],
      ['IMDSv1 calls', count(overview.calls.v1)],
      [
        'Safe to enforce',
        count((overview.hosts.verdicts.ready ?? 0) + (overview.hosts.verdicts.enforced ?? 0)),
      ],
      ['Silent hosts', count(overview.hosts.silent)],
    ]);
    const silent = visit.page.getByRole('region', { name: 'Silent hosts' });
    for (const { name } of overview.silent_hosts) await silent.getByRole('link', { name }).waitFor();
    const panel = visit.page.getByRole('region', { name: 'Offenders', exact: true });
    const titles = () => panel.locator('.path-text').allTextContents();
    const calling = fixture.offenders.filter(({ first_v1 }) => first_v1 !== null);
    const first = await visit.api<FixFirst>('/fix-first?days=14&limit=8');
    assert.ok(first.fixes.length > 2 && first.held_hosts > 2);
    assert.deepEqual(
      await titles(),
      first.fixes.map(({ title }) => title),
    );
    await panel
      .getByText(`${first.fixes.at(-1)!.freed} of ${first.held_hosts} held hosts (blocked or fallback) have`)
      .waitFor();
    const progress = visit.page.getByRole('region', { name: 'Progress' });
    await progress.getByText('No forecast: fewer than four whole weeks are stored.').waitFor();
    await panel.getByRole('button', { name: 'Newest' }).click();
    const newest = calling.toSorted((a, b) => (a.first_v1! < b.first_v1! ? 1 : -1)).map(({ title }) => title);
    await visit.page.waitForURL(/offenders=newest/);
    await visit.settled();
    assert.deepEqual(await titles(), newest.slice(0, 8));
    await visit.page.reload();
    await visit.settled();
    assert.deepEqual(await titles(), newest.slice(0, 8));
    await panel.getByRole('button', { name: 'Fix first' }).click();
    await visit.page.waitForURL((url) => url.search === '');
    await visit.settled();
    await visit.page.locator('.timeline').getByText('Show as a table').click();
    assert.ok((await visit.page.locator('.numbers tbody tr').count()) > 10);
    await visit.page.getByRole('link', { name: /^Blocked/ }).click();
    await visit.settled();
    assert.equal(visit.address(), '/hosts?verdict=blocked');
    await visit.end();
  });

  test('the address holds the filters and the order of the offenders, and a reload keeps them', async () => {
    const visit = await fixture.begin();
    const titles = () => visit.page.locator('tbody .path-text').allTextContents();
    await visit.go('/offenders');
    assert.deepEqual(
      await titles(),
      fixture.offenders.map(({ title }) => title),
    );
    const head = visit.page.getByRole('columnheader', { name: 'IMDSv1 calls' });
    assert.equal(await head.getAttribute('aria-sort'), 'none');
    await head.getByRole('button').click();
    await visit.page.locator('th[aria-sort=descending]').waitFor();
    await visit.settled();
    assert.equal(visit.address(), '/offenders?sort=-calls_v1');
    const byCalls = fixture.offenders.toSorted((a, b) => b.calls_v1 - a.calls_v1).map(({ title }) => title);
    await visit.page.locator('tbody tr').first().getByText(byCalls[0]!).waitFor();
    assert.deepEqual((await titles()).slice(0, 5), byCalls.slice(0, 5));

    await visit.page.getByRole('group', { name: 'Severity' }).getByText('Credentials').click();
    await visit.page.getByRole('searchbox').fill('backup');
    await visit.page.waitForURL(/text=backup/);
    await visit.page.reload();
    await visit.settled();
    assert.deepEqual(await titles(), ['/opt/backup/upload.py']);
    assert.equal(await visit.page.getByRole('searchbox').inputValue(), 'backup');
    assert.equal(await head.getAttribute('aria-sort'), 'descending');

    await visit.page.getByRole('searchbox').fill('nothing is called this');
    await visit.page.getByText('No offender matches.').waitFor();
    await visit.page.getByRole('link', { name: 'Remove all filters' }).click();
    await visit.settled();
    await visit.page.getByRole('button', { name: 'Add a filter' }).click();
    await visit.page.getByLabel('Field').selectOption('user');
    await visit.page.getByLabel('Value of User').fill('deploy');
    await visit.page.getByRole('button', { name: 'Apply' }).click();
    await visit.page.waitForURL(/user=deploy/);
    await visit.page.locator('tbody tr').nth(1).waitFor({ state: 'detached' });
    await visit.settled();
    assert.equal(visit.address(), '/offenders?user=deploy');
    assert.deepEqual(await titles(), ['/usr/bin/curl']);
    await visit.end();
  });

  test('an admin sets the triage of an offender, and the lists show it', async () => {
    const visit = await fixture.begin();
    const offender = fixture.offenders.find(({ title }) => title === '/opt/backup/upload.py')!;
    await visit.go(`/offenders/${offender.id}`);
    const panel = visit.page.getByRole('region', { name: 'Triage' });
    await panel.getByText('Open', { exact: true }).waitFor();
    await panel.getByRole('button', { name: 'Change' }).click();
    await panel.locator('[name=state]').selectOption('exception');
    await panel.locator('[name=until]').fill('2020-01-31');
    await panel.locator('[name=reason]').fill('The vendor ships its release in March.');
    await panel.locator('[name=owner]').fill('storage');
    await panel.locator('[name=ticket]').fill('https://tickets.example.com/OPS-7');
    await panel.locator('[name=notes]').fill('Ask <b>Bob</b>.\nHe knows.');
    assert.deepEqual(await visit.violations(), []);
    await panel.getByRole('button', { name: 'Save' }).click();
    await panel.getByText(/has ended already/).waitFor();
    await panel.locator('[name=until]').fill('2099-01-31');
    await panel.getByRole('button', { name: 'Save' }).click();
    await panel.getByText('Exception', { exact: true }).waitFor();
    await panel.getByText('The vendor ships its release in March.').waitFor();
    await panel.getByText('Ask <b>Bob</b>.').waitFor();
    assert.equal(await panel.getByRole('link').getAttribute('href'), 'https://tickets.example.com/OPS-7');
    // Nothing about the hosts has changed, and the caller is not among those to fix.
    const blocked = await visit.api<{ items: { verdict: string }[] }>(`/hosts?host=${offender.hosts[0]!.id}`);
    assert.equal(blocked.items[0]!.verdict, 'blocked');
    await visit.go('/offenders?state=exception&owner=storage');
    assert.deepEqual(await visit.page.locator('tbody .path-text').allTextContents(), [offender.title]);
    await visit.go('/');
    await visit.page.getByText('1 held host cannot be freed before an exception ends.').waitFor();
    await visit.go(`/offenders/${offender.id}`);
    await panel.getByRole('button', { name: 'Change' }).click();
    await panel.locator('[name=state]').selectOption('open');
    await panel.locator('[name=owner]').fill('');
    await panel.getByRole('button', { name: 'Save' }).click();
    await panel.getByText('Open', { exact: true }).waitFor();
    await visit.end();
  });

  test('a path that is shown in two parts is copied as one line', async () => {
    const visit = await fixture.begin({ permissions: ['clipboard-read', 'clipboard-write'] });
    await visit.go('/offenders');
    await visit.page.evaluate("getSelection().selectAllChildren(document.querySelector('tbody .path-text'))");
    await visit.page.keyboard.press('ControlOrMeta+c');
    assert.equal(await visit.page.evaluate('navigator.clipboard.readText()'), fixture.offenders[0]!.title);
    await visit.page.locator('html:not(.copying)').waitFor();
    await visit.end();
  });

  test('an offender has advice to copy, a process tree, hosts, paths and its latest calls', async () => {
    const visit = await fixture.begin({ permissions: ['clipboard-read', 'clipboard-write'] });
    const { id } = fixture.offenders.find(({ title }) => title === '/opt/backup/upload.py')!;
    await visit.go(`/offenders/${id}`);
    const detail = await visit.api<OffenderDetail>(`/offenders/${id}?days=14`);
    await visit.page.getByText(detail.advice.headline).waitFor();
    const code = detail.advice.steps.find((step) => step.code !== null)!.code!;
    await visit.page.getByRole('button', { name: 'Copy', exact: true }).first().click();
    await visit.page.getByRole('button', { name: 'Copied' }).waitFor();
    assert.equal(await visit.page.evaluate('navigator.clipboard.readText()'), code);
    const names = await visit.page
      .getByRole('group', { name: 'Process tree' })
      .locator('.name')
      .allInnerTexts();
    assert.deepEqual(names, ['systemd', 'cron', 'cron', 'backup.sh', 'python3']);
    assert.deepEqual(
      (await visit.rows('Paths requested without a token, most frequent first')).map(([path, calls]) => [
        path,
        calls,
      ]),
      detail.paths_v1.map(({ path, calls }) => [path, String(calls)]),
    );
    assert.equal((await visit.rows('Latest calls, newest first')).length, 12);
    await visit.page.getByRole('link', { name: 'backup-1' }).first().click();
    await visit.page.getByRole('heading', { name: 'backup-1' }).waitFor();
    await visit.end();
  });

  test('a host has its verdict, gaps in place with their reasons, losses, and the command if it is ready', async () => {
    const visit = await fixture.begin();
    const { id } = fixture.hostNamed('ci-runner-2');
    await visit.go(`/hosts/${id}`);
    const { readiness } = await visit.api<HostDetail>(`/hosts/${id}?days=14`);
    await visit.page.getByText(readiness.reason).waitFor();
    await visit.page.getByText('None was seen, but the host was not watched all the time.').waitFor();
    assert.equal((await visit.rows('Gaps in coverage')).length, readiness.coverage.gap_count);
    const gap = visit.page.getByRole('button', { name: /^Losses, / });
    await gap.focus();
    assert.match((await visit.page.locator('.gap-name').textContent())!, /^Losses, 2 h: .*capture\.dropped/);
    const bar = (await visit.page.locator('.coverage .bar').boundingBox())!;
    const drawn = (await visit.page.getByRole('button', { name: /^Agent not running, / }).boundingBox())!;
    const from = Date.parse(readiness.window.from);
    const span = Date.parse(readiness.window.to) - from;
    const stopped = readiness.coverage.gaps.find(({ reason }) => reason === 'agent_not_running')!;
    assert.ok(Math.abs((drawn.x - bar.x) / bar.width - (Date.parse(stopped.from) - from) / span) < 0.01);
    await visit.page.getByText('capture.dropped 42').waitFor();
    await visit.page.getByText('All counters', { exact: true }).click();
    assert.equal(await visit.page.locator('tr.loss').count(), 2);

    await visit.go(`/hosts/${fixture.hostNamed('edge-1').id}`);
    await visit.page.getByText('modify-instance-metadata-options').waitFor();
    await visit.end();
  });

  test('the hosts show every verdict', async () => {
    const visit = await fixture.begin();
    await visit.go('/hosts');
    const rows = await visit.rows('Hosts');
    const shown = rows.map((cells) => [cells[0], cells[1]!.split('\n')[0]]);
    const label = (verdict: string) => verdict[0]!.toUpperCase() + verdict.slice(1);
    assert.deepEqual(
      shown,
      fixture.hosts.map(({ verdict, name }) => [label(verdict), name]),
    );
    const isRunningOnly = ({ verdict, start_seen }: (typeof fixture.hosts)[number]) =>
      (verdict === 'ready' || verdict === 'enforced') && !start_seen;
    assert.deepEqual(
      rows.map((cells) => cells.some((text) => text.includes('running state'))),
      fixture.hosts.map(isRunningOnly),
    );
    assert.ok(fixture.hosts.some(isRunningOnly));
    await visit.end();
  });

  test('the groups of an attribute, and one of them with its instances', async () => {
    const visit = await fixture.begin();
    await visit.go('/groups');
    await visit.page.getByLabel('Group by').selectOption('account');
    await visit.settled();
    assert.equal(visit.address(), '/groups?by=account');
    const rows = await visit.rows('Groups by Account');
    const inAccount = fixture.hosts.filter(({ account }) => account === '210987654321').length;
    const row = rows.find((cells) => cells[1]!.startsWith('210987654321'))!;
    assert.match(row[2]!, new RegExp(`^\\d+ of ${inAccount}$`));
    await visit.page.getByRole('link', { name: '210987654321' }).click();
    await visit.page.getByRole('table', { name: 'Instances of the window' }).waitFor();
    await visit.settled();
    assert.equal(visit.address(), '/groups/account%3A210987654321');
    assert.equal((await visit.rows('Instances of the window, worst first')).length, inAccount);
    // No inventory of the cloud was supplied, so a group without offenders cannot be ready.
    await visit.page.getByText("The cloud's inventory was not supplied").last().waitFor();
    await visit.page.getByRole('link', { name: 'Groups' }).first().click();
    await visit.page
      .getByRole('table', { name: 'Groups by' })
      .or(visit.page.getByText('No groups found.'))
      .waitFor();
    await visit.end();
  });

  test('the live screen shows calls as agents report them, and counts them while paused', async () => {
    const visit = await fixture.begin();
    await visit.page.goto(`${fixture.site.collector.pageUrl}/live?version=1`);
    await visit.page.getByText('Live', { exact: true }).last().waitFor();
    await visit.page.locator('.feed-state.open').waitFor();
    await visit.page.locator('tbody tr').first().waitFor();
    const outbox = fixture.bench.outbox(fixture.site.collector.address.url);
    const send = (path: string) => outbox.call(makeCall({ 'url.path': path }));
    send('/first');
    await visit.page.locator('tbody tr').first().getByText('GET /first').waitFor();
    await visit.page.getByRole('button', { name: 'Pause' }).click();
    send('/second');
    send('/third');
    await visit.page.getByRole('button', { name: 'Resume, 2 waiting' }).waitFor();
    assert.equal(await visit.page.getByText('GET /second').count(), 0);
    await visit.page.getByRole('button', { name: 'Resume, 2 waiting' }).click();
    await visit.page.locator('tbody tr').first().getByText('GET /third').waitFor();
    await visit.page.getByRole('searchbox').fill('/second');
    await visit.page.locator('tbody tr').nth(1).waitFor({ state: 'detached' });
    assert.equal((await visit.rows('Calls, newest first')).length, 1);
    await visit.end();
  });

  test('markup in names, paths and user agents is shown as text', async () => {
    const visit = await fixture.begin();
    const offender = fixture.offenders.find(({ script }) => script === HOSTILE.script)!;
    for (const path of ['/', '/offenders', `/live?offender=${offender.id}`, `/offenders/${offender.id}`]) {
      await visit.go(path);
      await visit.page
        .locator('main')
        .getByText(path.startsWith('/live') ? HOSTILE.path : HOSTILE.script)
        .first()
        .waitFor();
      assert.equal(await visit.page.locator('main script, main img, main svg[onload]').count(), 0, path);
    }
    await visit.page.getByText(HOSTILE.agent).first().waitFor();
    await visit.end();
  });
});
