/** Signs a person in at a provider, with groups of the test, and asks who that is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from '../../../free_port.ts';
import { VisitorBench } from '../visitor_bench.ts';
import { CookieBrowser } from './cookie_browser.ts';
import { HostileProvider } from './hostile_provider.ts';
import { CLIENT_ID, CLIENT_SECRET } from './test_provider.ts';

interface Answered {
  /** Status of the answer to the sign-in. */
  status: number;
  name?: string;
  role?: string;
  scope?: unknown;
}

/** Settings of a collector that asks a provider. People reach it at `publicUrl`. */
export function providerSettings(issuer: string, publicUrl: string): Record<string, unknown> {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-oidc-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const secretFile = join(directory, 'secret');
  writeFileSync(secretFile, CLIENT_SECRET);
  return {
    public_url: publicUrl,
    oidc_issuer: issuer,
    oidc_client_id: CLIENT_ID,
    oidc_client_secret_file: secretFile,
    oidc_admin_groups: ['admins'],
    oidc_viewer_groups: ['viewers'],
    oidc_scoped_groups: ['shop=account:111122223333'],
  };
}

/** Returns for each list of groups what a person of them gets. */
export async function sessionsAtProvider(groups: readonly (readonly string[])[]): Promise<Answered[]> {
  const provider = await HostileProvider.start();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const listen = `127.0.0.1:${port}`;
  const bench = await VisitorBench.open({ ...providerSettings(provider.issuer, url), listen });
  try {
    const found: Answered[] = [];
    for (const own of groups) {
      provider.claims = (claims) => ({ ...claims, groups: own });
      const browser = new CookieBrowser();
      const callback = await browser.follow(`${url}/sign-in/oidc`, '/sign-in/oidc/callback');
      const { status } = await browser.get(callback);
      const session = await browser.get(`${url}/api/v1/session`);
      found.push({
        status,
        ...(session.status === 200 && ((await session.json()) as Omit<Answered, 'status'>)),
      });
    }
    return found;
  } finally {
    await bench.end();
    await provider.stop();
  }
}
