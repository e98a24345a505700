/**
 * Tests the settings of the page in Chromium. A real collector serves the page, with two weeks of a
 * fleet in its store.
 */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { PageFixture } from '../../support/web/page_fixture.ts';
import { cannotBrowse } from '../../support/web/site.ts';
import { Visit } from '../../support/web/visit.ts';

describe('the settings', { skip: cannotBrowse }, () => {
  let fixture: PageFixture;
  before(async () => {
    fixture = await PageFixture.open();
  });
  after(() => fixture?.close());

  test('a token is shown once, works and is revoked; the audit log has every change', async () => {
    const visit = await fixture.begin();
    const { page } = visit;
    await visit.go('/settings');
    await page.getByLabel('Name').fill('night shift');
    await page.getByRole('button', { name: 'Create token' }).click();
    const secret = (await page.getByRole('region', { name: 'The token' }).textContent())!;
    const viewer = await Visit.begin(fixture.browser, fixture.site.collector, { token: secret });
    await viewer.go('/settings');
    assert.deepEqual(
      await viewer.page.getByRole('navigation', { name: 'Settings' }).getByRole('link').allInnerTexts(),
      ['Alerts', 'Owners', 'Retention'],
    );
    await viewer.go('/settings/tokens');
    await viewer.page.getByText('Only admins can see this.').waitFor();
    await viewer.go(`/offenders/${fixture.offenders[0]!.id}`);
    const triage = viewer.page.getByRole('region', { name: 'Triage' });
    await triage.getByText('Open', { exact: true }).waitFor();
    assert.equal(await triage.getByRole('button').count(), 0);
    await viewer.go('/settings/retention');
    assert.equal(await viewer.page.getByRole('button', { name: 'Save' }).count(), 0);

    await page.reload();
    await visit.settled();
    assert.equal(await page.getByText(secret).count(), 0);
    const row = page.getByRole('row', { name: /night shift/ });
    await row.getByRole('button', { name: 'Revoke' }).click();
    await row.getByRole('button', { name: 'Revoke night shift' }).click();
    await row.waitFor({ state: 'detached' });
    await viewer.page.reload();
    await viewer.page.getByLabel('Token').waitFor();
    await viewer.end();

    await visit.go('/settings/retention');
    await page.getByLabel('Single calls (days)').fill('30');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('Saved.').waitFor();
    assert.equal((await visit.api<{ raw_days: number }>('/retention')).raw_days, 30);
    await visit.go('/settings/audit');
    const actions = (await visit.rows('Audit log, newest first')).map((cells) => cells[2]);
    assert.ok(
      actions.length >= 3 &&
        actions.some((action) => /token/.test(action!)) &&
        actions.some((action) => /retention/.test(action!)),
      String(actions),
    );
    await visit.end();
  });

  test('a destination is added, tested with a real listener, and removed', async () => {
    let received = 0;
    const listener = createServer((request, response) => {
      request.resume().on('end', () => {
        received++;
        response.end();
      });
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const { port } = listener.address() as AddressInfo;
    try {
      const visit = await fixture.begin();
      const { page } = visit;
      await visit.go('/settings/alerts');
      await page.getByRole('button', { name: 'Add a destination' }).click();
      await page.getByLabel('Name').fill('hook');
      await page.getByLabel('URL').fill(`http://127.0.0.1:${port}/in`);
      await page.getByLabel('Only alerts of these owners').fill('payments, web-*');
      await page.getByLabel('Alerts about what has no owner').check();
      // The other rules would fire for this fleet. The listener must receive only the test alert.
      for (const rule of ['New offender', 'Credentials over IMDSv1', 'Host silent', 'Coverage lost']) {
        await page.getByLabel(rule).uncheck();
      }
      assert.deepEqual(await visit.violations(), []);
      await page.getByRole('button', { name: 'Add destination' }).click();
      await page.getByRole('button', { name: 'Send test', exact: true }).click();
      await page.getByText('Test alert delivered').waitFor();
      assert.equal(received, 1);
      await page.getByText('Only of payments, web-*, no owner').waitFor();
      await page.route('**/api/v1/alert/destinations', async (route) => {
        const answer = await (await route.fetch()).json();
        const unrouted = { count: 2, last: answer.items[0].created, title: 'web-1 is silent', owner: 'core' };
        await route.fulfill({ json: { ...answer, unrouted } });
      });
      await visit.go('/settings/alerts');
      await page.getByText(/^2 alerts were for no destination.* of core: web-1 is silent$/).waitFor();
      assert.deepEqual(await visit.violations(), []);
      await page.unroute('**/api/v1/alert/destinations');
      await page.getByRole('button', { name: 'Remove' }).click();
      await page.getByRole('button', { name: 'Remove hook' }).click();
      await page.getByText('No destinations yet.').waitFor();
      await visit.end();
    } finally {
      listener.close();
    }
  });

  test('a stream is chosen with its shape, and the list shows what waits and why', async () => {
    let isDown = false;
    const bodies: string[] = [];
    const listener = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        if (!isDown) bodies.push(gunzipSync(Buffer.concat(parts)).toString());
        response.writeHead(isDown ? 503 : 200).end();
      });
    });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const { port } = listener.address() as AddressInfo;
    try {
      const visit = await fixture.begin();
      const { page } = visit;
      await visit.go('/settings/alerts');
      await page.getByRole('button', { name: 'Add a destination' }).click();
      await page.getByLabel('Name').fill('trail');
      await page.getByLabel('URL').fill(`http://127.0.0.1:${port}/in`);
      await page.getByLabel('Stream').selectOption('audit');
      assert.equal(await page.getByLabel('New offender').count(), 0, 'rules are for alerts only');
      const shapes = await page.getByLabel('Shape').locator('option').allInnerTexts();
      assert.deepEqual(shapes, ['imdswatch (of the receiver)', 'OCSF 1.5', 'Elastic Common Schema 9.4']);
      await page.getByLabel('Shape').selectOption('ocsf');
      assert.deepEqual(await visit.violations(), []);
      await page.getByRole('button', { name: 'Add destination' }).click();
      const row = page.getByRole('row', { name: /trail/ });
      await row.getByText('OCSF 1.5').waitFor();
      const shown = async (text: string | RegExp) => {
        while ((await row.getByText(text).count()) === 0) {
          await page.waitForTimeout(500);
          await page.reload();
          await visit.settled();
        }
      };
      await shown(/sent since/);
      await row.getByRole('button', { name: 'Send test' }).click();
      await row.getByText('Test record delivered').waitFor();
      assert.equal(JSON.parse(bodies[0]!.split('\n')[0]!).metadata.version, '1.5.0');
      isDown = true;
      // The list of tokens is changed, which the audit log has.
      await visit.go('/settings');
      await page.getByLabel('Name').fill('day shift');
      await page.getByRole('button', { name: 'Create token' }).click();
      await page.getByRole('region', { name: 'The token' }).waitFor();
      await visit.go('/settings/alerts');
      await shown('the receiver answered HTTP 503');
      await shown(/waiting/);
      await shown(/behind/);
      assert.deepEqual(await visit.violations(), []);
      await row.getByRole('button', { name: 'Remove' }).click();
      await row.getByRole('button', { name: 'Remove trail' }).click();
      await row.waitFor({ state: 'detached' });
      await visit.end();
    } finally {
      listener.close();
    }
  });
});
