/** Questions about many hosts, whose answers are pages and sums, compared with a plain computation. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { HostJudge } from '../../../../collector/insight/host_judge.ts';
import { summaryOf } from '../../../../collector/insight/hosts.ts';
import { type HostFilter, hostMatcher, matchesProfile } from '../../../../collector/store/host_filter.ts';
import { heardHost } from '../../../../collector/store/packed_heartbeat.ts';
import { openForReading, openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import type { HostBriefs, Scope, StoreQueries } from '../../../../collector/store/store.ts';
import { identityId, workloadIdentity } from '../../../../collector/store/workload_identity.ts';
import type { HostFacts } from '../../../../protocol/call.ts';
import { heartbeatOf } from '../../../support/collector/insight/findings.ts';
import { ALL, call, program, report, stream } from '../../../support/collector/store/records.ts';

const START_US = Date.UTC(2026, 10, 1, 5) * 1000;
const PROGRAMS = ['curl', 'aws', 'python3', 'ruby'];
const CALLERS = PROGRAMS.map(program);
const IDS = CALLERS.map((facts) => identityId(workloadIdentity(facts, '', '')));
/** The first two programs are releases of one workload. */
const JOINED = [
  [IDS[0]!, 'joined'],
  [IDS[1]!, 'joined'],
] as const;
const workloadOf = (program: number) => (program < 2 ? 'joined' : IDS[program]!);

const factsMade = fc.record(
  {
    'cloud.account.id': fc.constantFrom('111', '222'),
    'cloud.region': fc.constantFrom('eu-west-1', 'us-east-1'),
    type: fc.constantFrom('m7g.large', 't3.micro'),
    tags: fc.dictionary(fc.constantFrom('team', 'env', 'constructor'), fc.constantFrom('a', 'b'), {
      maxKeys: 2,
    }),
  },
  { requiredKeys: [] },
);
const hostMade = fc.record({
  name: fc.constantFrom('Web', 'web', 'db', 'ÄRGER'),
  facts: factsMade,
  /** The facts of an earlier batch. */
  before: fc.option(factsMade, { nil: null }),
  calls: fc.array(
    fc.record({ program: fc.nat(3), at: fc.nat(24 * 6), version: fc.constantFrom(1 as const, 2 as const) }),
    { maxLength: 6 },
  ),
  reports: fc.array(fc.record({ at: fc.nat(24 * 6), lost: fc.boolean(), boot: fc.nat(2) }), { maxLength: 4 }),
  heartbeat: fc.option(fc.nat(24 * 6), { nil: null }),
  tokens: fc.constantFrom(null, 'optional' as const, 'required' as const),
  counted: fc.option(fc.record({ at: fc.nat(24 * 6), noToken: fc.nat(2) }), { nil: null }),
});
type Made = typeof hostMade extends fc.Arbitrary<infer T> ? T : never;

const filterMade: fc.Arbitrary<HostFilter> = fc.record(
  {
    accounts: fc.subarray([null, '111', '222']),
    regions: fc.subarray([null, 'eu-west-1']),
    types: fc.subarray([null, 't3.micro']),
    tags: fc.subarray(
      [
        { key: 'team', value: 'a' },
        { key: 'constructor', value: null },
      ],
      { minLength: 1 },
    ),
    text: fc.constantFrom('', 'WEB', 'ärger', 'i-0'),
    named: fc.constantFrom('web', 'i-00'),
    ids: fc.subarray(['i-00', 'i-01', 'i-02', 'i-99']),
    firstSinceUs: fc.nat(24 * 6).map((hour) => START_US + hour * HOUR_US),
  },
  { requiredKeys: [] },
);
const windowMade = fc.record({ from: fc.nat(24 * 6), hours: fc.integer({ min: 1, max: 24 * 6 }) });

const timeOf = (hour: number, host: number) => START_US + hour * HOUR_US + host * 1_000_003;

function fill(writer: FindingsWriter, fleet: readonly Made[]): void {
  for (const [
    number,
    { name, facts, before, calls, reports, heartbeat, tokens, counted },
  ] of fleet.entries()) {
    const id = `i-${String(number).padStart(2, '0')}`;
    const host: HostFacts = { id, name, ...facts };
    const records = [
      ...calls.map(({ program, at, version }) =>
        call(timeOf(at, number), { 'imds.version': version, 'http.response.status_code': 200 }, program),
      ),
      ...reports
        .toSorted((a, b) => a.at - b.at)
        .map(({ at, lost, boot }) =>
          report(id, timeOf(at, number), timeOf(at, number) + HOUR_US / 2, {
            boot_id: `boot-${boot}`,
            losses: lost ? { 'decode.dropped': 3 } : {},
          }),
        ),
    ];
    if (before !== null)
      writer.write(pack([stream({ ...host, ...before }, CALLERS)(...records.slice(0, 1))]));
    if (records.length > 0) writer.write(pack([stream(host, CALLERS)(...records)]));
    if (heartbeat !== null) {
      const receivedUs = timeOf(heartbeat, number);
      writer.heartbeats([heardHost(heartbeatOf(id, receivedUs), receivedUs)]);
    }
    if (tokens !== null) {
      const options = { hostId: id, httpTokens: tokens, hopLimit: 1, httpEndpoint: 'enabled' as const };
      writer.putCloudInstances([{ ...options, suppliedUs: timeOf(number, number) }]);
    }
    if (counted !== null) {
      const startUs = START_US + counted.at * HOUR_US;
      const count = { hostId: id, startUs, endUs: startUs + HOUR_US, noTokenRejected: null };
      writer.putCloudCounts([{ ...count, noToken: counted.noToken }]);
    }
  }
}

async function allBriefs(store: StoreQueries, filter: HostFilter | null, window: Scope['window']) {
  const pages: HostBriefs[] = [];
  for (let after: number | null = 0; after !== null; ) {
    const page: HostBriefs = await store.hostBriefs(filter, window, after, 2);
    assert.ok(page.hostIds.length <= 2);
    pages.push(page);
    after = page.next;
  }
  return pages;
}

async function allPages(ask: (after: string | null) => Promise<string[]>): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const page = await ask(found.at(-1) ?? null);
    found.push(...page);
    if (page.length < 2) return found;
  }
}

const known = (us: number) => (Number.isNaN(us) ? null : us);

async function checkBriefs(
  store: StoreQueries,
  filter: HostFilter | null,
  window: Scope['window'],
  ids: string[],
) {
  const stored = new Map((await store.hosts(ids)).map((host) => [host.facts.id, host]));
  const coverage = new Map((await store.coverage(window, ids)).map((each) => [each.hostId, each]));
  const instances = new Map((await store.cloudInstances(ids)).map((each) => [each.hostId, each]));
  const counted = new Set(
    (await store.cloudCounts(window, ids)).flatMap(({ hostId, noToken }) => (noToken > 0 ? [hostId] : [])),
  );
  const profiles = await store.profiles();
  const totals = await store.hostTotals({ window, hosts: ids, identities: null }, false);
  const pages = await allBriefs(store, filter, window);
  assert.deepEqual(pages.flatMap(({ hostIds }) => hostIds).sort(), ids);
  for (const page of pages) {
    for (const [at, id] of page.hostIds.entries()) {
      const host = stored.get(id)!;
      const { id: _, name, ...profile } = host.facts;
      assert.equal(page.names[at], name);
      assert.deepEqual(profiles.get(page.profiles[at]!)?.facts ?? {}, profile);
      assert.deepEqual([page.firstUs[at], page.lastUs[at]], [host.firstUs, host.lastUs]);
      assert.equal(known(page.receivedUs[at]!), host.heardUs);
      const watched = coverage.get(id)!;
      assert.deepEqual(
        [known(page.watchedFirstUs[at]!), known(page.watchedLastUs[at]!)],
        [watched.firstUs, watched.lastUs],
      );
      assert.deepEqual(
        page.gaps.filter(({ host }) => host === at).map(({ host: _, ...gap }) => gap),
        watched.gaps.map(({ detail: _, ...gap }) => gap),
      );
      assert.deepEqual(
        [...page.boots.firstUs].filter((_, index) => page.boots.host[index] === at),
        watched.boots.flatMap(({ firstUs }) => (firstUs >= window.sinceUs ? [firstUs] : [])),
      );
      const tokens = instances.get(id)?.httpTokens ?? null;
      assert.equal([null, 'optional', 'required'][page.tokens[at]!], tokens);
      assert.equal(known(page.tokensSuppliedUs[at]!), instances.get(id)?.suppliedUs ?? null);
      assert.equal(page.withCountedCalls.includes(id), counted.has(id));
      assert.deepEqual(
        page.totals.filter(({ hostId }) => hostId === id),
        totals.filter(({ hostId }) => hostId === id),
      );
    }
  }
}

/** Hosts that are judged together have the verdicts of hosts that are judged with all evidence. */
async function checkVerdicts(
  store: StoreQueries,
  filter: HostFilter | null,
  window: Scope['window'],
  ids: string[],
) {
  const judge = new HostJudge(
    store,
    { readinessWindowDays: 3, silentAfterSeconds: 300 },
    () => START_US + 7 * DAY_US,
  );
  const expected = (await judge.judgeHosts(window, ids)).map(({ stored, evidence, judged }) => ({
    id: stored.facts.id,
    ...summaryOf(evidence.totals, judged),
  }));
  const found: typeof expected = [];
  for await (const { briefs } of judge.judgeAll(window, filter)) {
    for (const { summary, totals, judged } of briefs)
      found.push({ id: summary.id, ...summaryOf(totals, judged) });
  }
  const byId = (a: { id: string }, b: { id: string }) => (a.id < b.id ? -1 : 1);
  assert.deepEqual(found.sort(byId), expected.sort(byId));
}

async function checkWorkloads(store: StoreQueries, fleet: readonly Made[], ids: string[], scope: Scope) {
  const { sinceUs, untilUs } = scope.window;
  const span = [Math.floor(sinceUs / HOUR_US) * HOUR_US, Math.ceil(untilUs / HOUR_US) * HOUR_US] as const;
  const facts = new Map((await store.hosts(ids)).map(({ facts }) => [facts.id, facts]));
  const pairs = ids.flatMap((hostId) => {
    const number = Number(hostId.slice(2));
    const calls = Map.groupBy(fleet[number]?.calls ?? [], ({ program }) => workloadOf(program));
    return [...calls].flatMap(([identity, own]) => {
      const ofRelease = Map.groupBy(own, ({ program }) => program);
      // A release counts where it called since the window began, and first called before its end.
      const inScope = [...ofRelease.values()].filter((each) => {
        const times = each.map(({ at }) => timeOf(at, number));
        return Math.max(...times) >= span[0] && Math.min(...times) < untilUs;
      });
      if (inScope.length === 0) return [];
      const counted = inScope.flat().map(({ at, version }) => ({ us: timeOf(at, number), version }));
      const v1 = counted.filter(({ version }) => version === 1).map(({ us }) => us);
      return [
        {
          identity,
          hostId,
          firstUs: Math.min(...counted.map(({ us }) => us)),
          lastUs: Math.max(...counted.map(({ us }) => us)),
          lastV1Us: v1.length === 0 ? null : Math.max(...v1),
          callsV1: v1.filter((us) => us >= span[0] && us < span[1]).length,
        },
      ];
    });
  });
  const callersOf = Map.groupBy(
    pairs.filter(({ callsV1 }) => callsV1 > 0),
    ({ hostId }) => hostId,
  );
  const wanted = scope.identities === null ? null : new Set(scope.identities);
  const isWanted = (id: string) =>
    wanted === null || IDS.some((own, program) => wanted.has(own) && workloadOf(program) === id);
  const expected = [...Map.groupBy(pairs, ({ identity }) => identity)]
    .filter(([id]) => isWanted(id))
    .map(([identity, rows]) => {
      const of = rows.map(({ hostId }) => facts.get(hostId)!);
      const v1 = rows.flatMap(({ lastV1Us }) => lastV1Us ?? []);
      return {
        identity,
        hosts: rows.length,
        firstUs: Math.min(...rows.map(({ firstUs }) => firstUs)),
        lastUs: Math.max(...rows.map(({ lastUs }) => lastUs)),
        lastV1Us: v1.length === 0 ? null : Math.max(...v1),
        freed: [...callersOf.values()].filter((all) => all.length === 1 && all[0]!.identity === identity)
          .length,
        latest: rows.toSorted((a, b) => b.lastUs - a.lastUs || (a.hostId < b.hostId ? -1 : 1)).slice(0, 2),
        accounts: [...new Set(of.flatMap((each) => each['cloud.account.id'] ?? []))].sort(),
        regions: [...new Set(of.flatMap((each) => each['cloud.region'] ?? []))].sort(),
        tags: { team: [...new Set(of.map(({ tags }) => tags?.['team'] ?? null))].sort() },
      };
    });
  const options = { latest: 2, tagKeys: ['team'], joined: JOINED };
  const found = await store.workloadHosts(scope, options);
  const sorted = found.map((each) => ({ ...each, tags: { team: each.tags['team']!.toSorted() } }));
  const byId = (a: { identity: string }, b: { identity: string }) => (a.identity < b.identity ? -1 : 1);
  assert.deepEqual(sorted.sort(byId), expected.sort(byId));
  const callers = await allPages((after) => store.callerHosts(scope, after, 2));
  assert.deepEqual(
    callers,
    [...new Set(pairs.filter(({ identity }) => isWanted(identity)).map(({ hostId }) => hostId))].sort(),
  );
}

test('pages and sums equal what the rows say', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(hostMade, { maxLength: 7 }),
      fc.option(filterMade, { nil: null }),
      windowMade,
      fc.boolean(),
      async (fleet, filter, { from, hours }, bothReleases) => {
        const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
        const database = openForWriting(dataDir, FINDINGS);
        const store: StoreQueries = new FindingsReader(openForReading(dataDir, FINDINGS));
        try {
          fill(new FindingsWriter(database, () => START_US + 10 * DAY_US), fleet);
          const sinceUs = START_US + (from - 12) * HOUR_US + 1;
          const window = { sinceUs, untilUs: sinceUs + hours * HOUR_US };
          const all = await store.hosts(fleet.map((_, number) => `i-${String(number).padStart(2, '0')}`));
          const matches = hostMatcher(filter ?? {});
          const chosen = all.filter(
            ({ facts, firstUs }) => matchesProfile(facts, filter ?? {}) && matches({ ...facts, firstUs }),
          );
          const ids = chosen.map(({ facts }) => facts.id).sort();
          const pages = await allPages(async (after) =>
            (await store.hostPage(filter, after, 2)).map(({ facts }) => facts.id),
          );
          assert.deepEqual(pages, ids);
          const byId = new Map(chosen.map((host) => [host.facts.id, host]));
          assert.deepEqual(
            await store.hostPage(filter, null, 10),
            ids.map((id) => byId.get(id)),
          );
          await checkBriefs(store, filter, window, ids);
          await checkVerdicts(store, filter, window, ids);
          await checkWorkloads(store, fleet, ids, { window, hosts: filter, identities: null });
          const identities = bothReleases ? [IDS[0]!, IDS[1]!] : [IDS[2]!];
          await checkWorkloads(store, fleet, ids, { window, hosts: filter, identities });
          const listed = { window, hosts: ids, identities: null };
          const selected: Scope = { window, hosts: filter, identities: null };
          assert.deepEqual(await store.identityTotals(selected), await store.identityTotals(listed));
          assert.deepEqual(
            await store.series(selected, 'hour', true),
            await store.series(listed, 'hour', true),
          );
          const sums = Map.groupBy(await store.hostTotals(listed), ({ identity }) => identity);
          const counts = (rows: readonly { kinds: readonly { count: number }[] }[]) =>
            rows.flatMap(({ kinds }) => kinds).reduce((sum, { count }) => sum + count, 0);
          const expected = [...sums].map(([identity, rows]) => [identity, counts(rows)]);
          const found = (await store.callTotals(selected)).map((row) => [row.identity, counts([row])]);
          assert.deepEqual(found.sort(), expected.sort());
          assert.deepEqual(await store.reportedDays(filter), daysOf(chosen));
          const withCounts = await allPages((after) => store.countedHosts(window, filter, after, 2));
          const listedIds = filter === null ? fleet.map((_, n) => `i-${String(n).padStart(2, '0')}`) : ids;
          const countRows = await store.cloudCounts(window, listedIds);
          assert.deepEqual(withCounts, [...new Set(countRows.map(({ hostId }) => hostId))].sort());
        } finally {
          await store.close();
          database.close();
          rmSync(dataDir, { recursive: true });
        }
      },
    ),
    { numRuns: 25 },
  );
});

function daysOf(hosts: readonly { firstUs: number; lastUs: number }[]) {
  const days = Map.groupBy(hosts, ({ firstUs, lastUs }) =>
    JSON.stringify([Math.floor(firstUs / DAY_US), Math.floor(lastUs / DAY_US)]),
  );
  return [...days]
    .map(([key, of]) => {
      const [firstDay, lastDay] = JSON.parse(key) as [number, number];
      return { firstDay, lastDay, hosts: of.length };
    })
    .sort((a, b) => a.firstDay - b.firstDay || a.lastDay - b.lastDay);
}

test('the span of all records is that of the first and the last one', async () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-test-'));
  const database = openForWriting(dataDir, FINDINGS);
  const store = new FindingsReader(openForReading(dataDir, FINDINGS));
  try {
    assert.equal(await store.reportedSpan(), null);
    const writer = new FindingsWriter(database);
    const times = [START_US + 7, START_US, START_US + 3];
    for (const [number, us] of times.entries())
      writer.write(pack([stream({ id: `i-${number}`, name: 'web' })(call(us))]));
    assert.deepEqual(await store.reportedSpan(), { firstUs: START_US, lastUs: START_US + 7 });
    assert.equal((await store.identityTotals(ALL)).length, 1);
  } finally {
    await store.close();
    database.close();
    rmSync(dataDir, { recursive: true });
  }
});
