/** A person signs in by OpenID Connect in Chromium, at a real provider on loopback, and signs out of both. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { CLIENT_ID, CLIENT_SECRET, TestProvider } from '../../support/collector/access/oidc/test_provider.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { freePort } from '../../support/free_port.ts';
import { cannotBrowse, openBrowser } from '../../support/web/site.ts';

const bench = new Bench();
after(() => bench.end());

it('the button leads to the provider and back to the screen; signing out ends both sessions', {
  skip: cannotBrowse,
}, async () => {
  const port = await freePort();
  const base = `http://127.0.0.1:${port}`;
  const provider = await TestProvider.start(base);
  bench.atEnd(() => provider.stop());
  const secretFile = join(bench.directory(), 'secret');
  writeFileSync(secretFile, CLIENT_SECRET);
  await bench.collector({
    listen: `127.0.0.1:${port}`,
    public_url: base,
    oidc_issuer: provider.issuer,
    oidc_client_id: CLIENT_ID,
    oidc_client_secret_file: secretFile,
    oidc_admin_groups: ['imds-admins'],
    oidc_name: 'Test Login',
  });
  const browser = await openBrowser();
  bench.atEnd(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(60_000);
  const problems: string[] = [];
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) problems.push(message.text());
  });
  await page.goto(`${base}/hosts?q=x`);
  await page.getByRole('button', { name: 'Sign in with Test Login' }).click();
  await page.getByRole('navigation', { name: 'Screens' }).waitFor();
  assert.equal(new URL(page.url()).pathname, '/hosts');
  await page.getByText('ada@example.com').first().waitFor();
  const session = (await (await page.request.get(`${base}/api/v1/session`)).json()) as {
    name: string;
    role: string;
  };
  assert.deepEqual([session.name, session.role], ['ada@example.com', 'admin']);

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Yes, sign me out' }).click();
  await page.getByRole('button', { name: 'Sign in with Test Login' }).waitFor();
  assert.equal(page.url(), `${base}/sign-in`);
  assert.equal((await page.request.get(`${base}/api/v1/session`)).status(), 401);
  assert.deepEqual(problems, []);
});
