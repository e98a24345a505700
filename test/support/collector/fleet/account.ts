/** Counts calls: those that were made, the rows and sums in the database, and what the API says through each collector. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { FleetReport } from './fleet_process.ts';

const PAGE_LIMIT = 1000;
/** An answer about all hosts may be two minutes old (docs/api.md). */
const OLDEST_ANSWER_MS = 150_000;
const ASK_AGAIN_MS = 2_000;

/** Runs a statement on the primary, as the superuser. */
export type Question = (sql: string) => Promise<Record<string, unknown>[]>;
/** Asks a collector, and throws unless the answer is 200. */
export type Api = (path: string) => Promise<string>;

export interface Account {
  /** One line of figures. */
  text: string;
  /** Names each figure that is not as it must be. */
  wrong: string[];
}

const FIGURES = `SELECT
  (SELECT count(*) FROM calls)::float8 AS rows, (SELECT count(DISTINCT id) FROM calls)::float8 AS distinct_ids,
  (SELECT coalesce(sum(calls), 0) FROM call_counts)::float8 AS counted,
  (SELECT coalesce(sum(count), 0) FROM hourly WHERE class > 0)::float8 AS hourly,
  (SELECT coalesce(sum(count), 0) FROM daily WHERE class > 0)::float8 AS daily,
  (SELECT coalesce(sum(count), 0) FROM fleet_hourly WHERE class > 0)::float8 AS fleet_hourly,
  (SELECT coalesce(sum(count), 0) FROM fleet_daily WHERE class > 0)::float8 AS fleet_daily,
  (SELECT coalesce(sum(live_ms), 0) FROM coverage_days)::float8 AS covered_ms,
  (SELECT count(*) FROM gaps)::float8 AS gaps`;
const ALERTS_TWICE = `SELECT rule, subject FROM alerts WHERE rule = 'new_offender' GROUP BY rule, subject HAVING count(*) > 1`;

/** `ids`: of the calls that were sent one by one. `apis`: each collector by its name. */
export async function account(
  { whole, rolledUp, coveredMs, lost }: FleetReport,
  ids: ReadonlySet<string>,
  ask: Question,
  apis: Readonly<Record<string, Api>>,
): Promise<Account> {
  const all = whole + rolledUp;
  const wrong: string[] = [];
  const expect = (what: string, found: unknown, expected: unknown) => {
    if (found !== expected) wrong.push(`${what}: ${found} instead of ${expected}`);
  };
  expect('ids in the file of the agents', ids.size, whole);
  expect('records that agents lost', lost, 0);
  const [found] = (await ask(FIGURES)) as [Record<string, number>];
  for (const name of ['rows', 'distinct_ids', 'counted']) expect(name, found[name], whole);
  for (const name of ['hourly', 'daily', 'fleet_hourly', 'fleet_daily']) expect(name, found[name], all);
  expect('milliseconds covered', Math.round(found['covered_ms']!), coveredMs);
  expect('gaps', found['gaps'], 0);
  const stored = new Set((await ask('SELECT id FROM calls')).map(({ id }) => id as string));
  expect('calls that are not stored', [...ids].filter((id) => !stored.has(id)).length, 0);
  expect('calls that nobody made', [...stored].filter((id) => !ids.has(id)).length, 0);
  expect('new offenders that were told twice', (await ask(ALERTS_TWICE)).length, 0);
  const ofApis = Object.entries(apis).map(([name, api]) => newestRemarks(name, api, whole, all));
  wrong.push(...(await Promise.all(ofApis)).flat());
  const collectors = Object.keys(apis).length;
  const text =
    `${all} calls made (${whole} sent one by one, ${rolledUp} counted): rows ${found['rows']}, ` +
    `distinct ids ${found['distinct_ids']}, sums by hour ${found['hourly']}, day ${found['daily']}, ` +
    `fleet and hour ${found['fleet_hourly']}, fleet and day ${found['fleet_daily']}; ` +
    `the API of ${collectors} collectors ${wrong.length === 0 ? 'says the same' : 'was asked'}`;
  return { text, wrong };
}

/** Returns what a collector answers otherwise than it must, after the time in which it may give older answers. */
async function newestRemarks(name: string, api: Api, whole: number, all: number): Promise<string[]> {
  const deadlineMs = performance.now() + OLDEST_ANSWER_MS;
  for (;;) {
    const wrong = await remarks(name, api, whole, all);
    if (wrong.length === 0 || performance.now() > deadlineMs) return wrong;
    await sleep(ASK_AGAIN_MS);
  }
}

async function remarks(name: string, api: Api, whole: number, all: number): Promise<string[]> {
  const wrong: string[] = [];
  const expect = (what: string, found: number, expected: number) => {
    if (found !== expected) wrong.push(`${what} of ${name}: ${found} instead of ${expected}`);
  };
  const { calls } = JSON.parse(await api('/api/v1/overview')) as { calls: { v1: number; v2: number } };
  expect('overview, IMDSv1,', calls.v1, whole);
  expect('overview', calls.v1 + calls.v2, all);
  const offenders = await sumOf(api, 'offenders');
  expect('offenders, IMDSv1,', offenders.v1, whole);
  expect('offenders', offenders.v1 + offenders.v2, all);
  expect('hosts, IMDSv1,', (await sumOf(api, 'hosts')).v1, whole);
  const lines = (await api('/api/v1/calls?format=ndjson')).trim().split('\n');
  expect('list of calls', new Set(lines.map((line) => JSON.parse(line).id)).size, whole);
  return wrong;
}

interface Item {
  calls_v1: number;
  /** Hosts have only the other sum. */
  calls_v2?: number;
}

/** Returns the sums of the calls over all pages of a list. */
async function sumOf(api: Api, list: 'offenders' | 'hosts'): Promise<{ v1: number; v2: number }> {
  const sums = { v1: 0, v2: 0 };
  let cursor: string | null = null;
  do {
    const next: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`;
    const text = await api(`/api/v1/${list}?limit=${PAGE_LIMIT}${next}`);
    const page = JSON.parse(text) as { items: Item[]; next: string | null };
    for (const { calls_v1: v1, calls_v2: v2 = 0 } of page.items) {
      sums.v1 += v1;
      sums.v2 += v2;
    }
    cursor = page.next;
  } while (cursor !== null);
  return sums;
}
