/** Opens every screen of the page on one of two stores, and takes what it shows, so that the two can be compared. */
import assert from 'node:assert/strict';
import type { Browser } from 'playwright-core';
import type { Group } from '../../../../collector/contract/group.ts';
import type { Host } from '../../../../collector/contract/host.ts';
import type { Offender } from '../../../../collector/contract/offender.ts';
import type { Plan } from '../../../../collector/contract/plan.ts';
import { Visit } from '../../web/visit.ts';
import { NOW_MS, type Side, TOKENS } from './both_stores.ts';

/** Details are opened of so many items of each list: the first, the last and some between. */
const DETAILS_OPENED = 3;
const WINDOW = 'days=400';

/** Returns what the screens show, by their address: the elements of each, with their texts, links and titles. */
export async function answersOfPage(browser: Browser, { collector }: Side): Promise<Map<string, string>> {
  const visit = await Visit.begin(browser, collector, { token: TOKENS[0]! });
  // The data ends at this time, and so do the windows and the ages that the page shows.
  await visit.page.clock.setFixedTime(NOW_MS);
  const answers = new Map<string, string>();
  for (const path of await pathsOf(visit)) {
    await visit.go(path);
    const problem = visit.page.locator('[role=alert]');
    assert.deepEqual(await problem.allInnerTexts(), [], path);
    answers.set(path, await visit.page.locator('main').innerHTML());
  }
  await visit.end();
  return answers;
}

/** Returns the addresses of the screens. The live feed is about now, and the screen of retention about the store itself. */
async function pathsOf(visit: Visit): Promise<string[]> {
  const listOf = async <T>(path: string) => someOf((await visit.api<{ items: T[] }>(path)).items);
  const offenders = await listOf<Offender>(`/offenders?${WINDOW}&limit=1000`);
  const hosts = await listOf<Host>(`/hosts?${WINDOW}&limit=1000`);
  const groups = await listOf<Group>(`/groups?${WINDOW}&by=asg&limit=1000`);
  const plans = await listOf<Plan>('/plans');
  const details = (screen: string, items: { id: string }[]) =>
    items.map(({ id }) => `/${screen}/${encodeURIComponent(id)}?${WINDOW}`);
  return [
    ...['/', `/?${WINDOW}&offenders=newest`],
    ...[`/offenders?${WINDOW}`, `/offenders?${WINDOW}&text=${encodeURIComponent('ÄPFEL')}`],
    ...[`/hosts?${WINDOW}`, `/hosts?${WINDOW}&tag=team`],
    ...['asg', 'account', 'image', 'tag:team'].map((by) => `/groups?${WINDOW}&by=${encodeURIComponent(by)}`),
    ...['/plans', '/settings/tokens', '/settings/alerts', '/settings/audit'],
    ...details('offenders', offenders),
    ...details('hosts', hosts),
    ...details('groups', groups),
    ...details('plans', plans),
  ];
}

function someOf<T>(items: readonly T[]): T[] {
  const step = Math.max(1, Math.ceil(items.length / DETAILS_OPENED));
  return items.filter((_, at) => at % step === 0);
}
