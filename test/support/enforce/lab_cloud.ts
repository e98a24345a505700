/** Starts the lab's cloud for a test, and lets the SDK of this process use it. */
import type { TestContext } from 'node:test';
import { CloudApi, type CloudApiOptions } from '../../../lab/cloud_api.ts';

export const ACCOUNT = '111111111111';
export const OTHER_ACCOUNT = '222222222222';
export const REGION = 'eu-central-1';

export async function labCloud(t: TestContext, options: CloudApiOptions = {}): Promise<CloudApi> {
  const api = await CloudApi.start(options);
  const before = { ...process.env };
  Object.assign(process.env, api.environment(ACCOUNT));
  t.after(async () => {
    for (const key of Object.keys(process.env)) if (!(key in before)) delete process.env[key];
    Object.assign(process.env, before);
    await api.close();
  });
  return api;
}
