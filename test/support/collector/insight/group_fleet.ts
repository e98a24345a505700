/** An Auto Scaling group that is proven: every start and every end was watched, and the cloud's count agrees. */
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { Insight } from '../../../../collector/insight/insight.ts';
import type { CloudMember, Store } from '../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { HostFacts } from '../../../../protocol/call.ts';
import { makeCall } from '../calls.ts';
import type { Bench } from '../in_process.ts';
import { newFindings, watched } from './findings.ts';

export const NOW_US = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
export const PLACE = { account: '123456789012', region: 'eu-west-1' };
export const at = (us: number) => toTimestamp(us);

export const hostOf = (id: string, tags: Record<string, string>): HostFacts => ({
  id,
  name: `name-${id}`,
  'cloud.account.id': PLACE.account,
  'cloud.region': PLACE.region,
  'image.id': 'ami-1',
  tags,
});
export const WEB = {
  'aws:autoscaling:groupName': 'web',
  'aws:ec2launchtemplate:id': 'lt-1',
  'aws:ec2launchtemplate:version': '7',
  'eks:nodegroup-name': 'nodes',
  team: 'shop',
};

export function inCloud(hostId: string, changes: Partial<CloudMember> = {}): CloudMember {
  return {
    hostId,
    ...PLACE,
    state: 'running',
    launchedUs: null,
    terminatedUs: null,
    imageId: null,
    scalingGroup: null,
    templateId: null,
    templateVersion: null,
    isSpot: null,
    managedBy: null,
    tags: null,
    suppliedUs: NOW_US - 60_000_000,
    ...changes,
  };
}

export function completeRead(madeUs: number) {
  const facts = { kind: 'complete_read' as const, ...PLACE, id: 'inventory' as const, made: at(madeUs) };
  return { facts, suppliedUs: NOW_US };
}

/** One host from before the window, and two that lived for two hours within it: launched, counted, ended. */
export async function groupFleet(
  bench: Bench,
  facts: (id: string) => HostFacts = (id) => hostOf(id, WEB),
): Promise<{
  insight: Insight;
  store: Store;
  put: ReturnType<typeof newFindings>['put'];
}> {
  const { store, put } = newFindings(bench);
  await put(
    makeCall({ time: at(NOW_US - 30 * HOUR_US), 'imds.version': 2, host: facts('i-old') }),
    watched('i-old', at(NOW_US - 30 * HOUR_US), at(NOW_US)),
  );
  const members = [inCloud('i-old', { launchedUs: NOW_US - 40 * DAY_US })];
  for (const [index, id] of ['i-a', 'i-b', 'i-c'].entries()) {
    const launchedUs = NOW_US - (20 - index) * HOUR_US + 60_000_000;
    const endedUs = launchedUs + 2 * HOUR_US;
    await put(
      makeCall({ time: at(launchedUs + 40_000_000), 'imds.version': 2, host: facts(id) }),
      watched(id, at(launchedUs + 30_000_000), at(endedUs - 5_000_000)),
    );
    const startUs = launchedUs - 60_000_000;
    await store.putCloudCounts([
      { hostId: id, startUs, endUs: startUs + HOUR_US, noToken: 0, noTokenRejected: null },
    ]);
    members.push(
      inCloud(id, { state: 'terminated', launchedUs, terminatedUs: endedUs, scalingGroup: 'web' }),
    );
  }
  await store.putCloudInventory({ instances: members, resources: [completeRead(NOW_US - HOUR_US)] });
  const insight = new Insight(store, {
    readinessWindowDays: 1,
    silentAfterSeconds: 300,
    now: () => NOW_US / 1000,
  });
  return { insight, store, put };
}
