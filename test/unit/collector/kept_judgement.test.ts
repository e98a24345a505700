/** The judgement that is kept for all collectors, compared with one that is made anew, over real stores. */
import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { pino } from 'pino';
import { openAdmin } from '../../../collector/admin/admin_schema.ts';
import { Lease } from '../../../collector/admin/lease.ts';
import { SqliteAdminStore } from '../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { sourceHeaders } from '../../../collector/api/data_source.ts';
import { DAY_US, HOUR_US } from '../../../collector/contract/window.ts';
import type { GroupFilter } from '../../../collector/insight/group/fleet.ts';
import type { HostBoard } from '../../../collector/insight/host_board.ts';
import { Insight } from '../../../collector/insight/insight.ts';
import type { GroupBy, HostFilter } from '../../../collector/insight/question.ts';
import { KeptJudgement } from '../../../collector/kept_judgement.ts';
import { heardHost } from '../../../collector/store/packed_heartbeat.ts';
import { readingOf } from '../../../collector/store/reading.ts';
import { openForReading, openForWriting } from '../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../collector/store/sqlite/packed_batch.ts';
import { retain } from '../../../collector/store/sqlite/retention.ts';
import type { StoredBatch } from '../../../collector/store/store.ts';
import { toTimestamp } from '../../../collector/store/time.ts';
import { attributeName, GROUP_ATTRIBUTES, type GroupAttribute } from '../../../common/group_id.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { heartbeatOf } from '../../support/collector/insight/findings.ts';
import { NOW_US, randomBatches } from '../../support/collector/store/random_batches.ts';

const bench = new Bench();
after(() => bench.end());
const log = pino({ level: 'silent' });
const LEASE_MS = 600_000;

/** A store with collectors that judge it at a time that the test sets. */
class Shared {
  readonly #directory: string;
  readonly #database: DatabaseSync;
  readonly #writer: FindingsWriter;
  readonly reader: FindingsReader;
  readonly admin: SqliteAdminStore;
  nowUs = NOW_US;

  constructor() {
    this.#directory = mkdtempSync(join(bench.directory(), 'store-'));
    const database = openForWriting(this.#directory, FINDINGS);
    this.#database = database;
    this.#writer = new FindingsWriter(database, () => this.nowUs);
    this.reader = new FindingsReader(openForReading(this.#directory, FINDINGS));
    const admin = openAdmin(this.#directory);
    this.admin = new SqliteAdminStore(admin);
    bench.atEnd(() => admin.close());
    bench.atEnd(() => database.close());
  }

  /** `days`: the readiness window. */
  collector(
    options: {
      days?: number;
      leastHosts?: number;
      lookMs?: number;
      insight?: Insight;
      rules?: () => unknown;
    } = {},
  ) {
    const { days = 14, leastHosts = 1, lookMs = LEASE_MS } = options;
    const own = new Insight(this.reader, {
      readinessWindowDays: days,
      silentAfterSeconds: 300,
      now: () => this.nowUs / 1000,
      triage: () => this.admin.triage.all(),
    });
    const insight = options.insight ?? own;
    const kept = new KeptJudgement({
      admin: this.admin,
      lease: new Lease(this.admin, 'judgement', { durationMs: LEASE_MS }),
      insight,
      store: this.reader,
      madeWith: () => ['1.0.0', days, options.rules?.()],
      defaultWindowDays: days,
      log,
      leastHosts,
      lookMs,
      now: () => this.nowUs / 1000,
    });
    return { insight, kept };
  }

  write(batches: StoredBatch[]): void {
    this.#writer.write(pack(batches));
    this.#writer.heartbeats(
      batches.map(({ host }) => heardHost(heartbeatOf(host.id, this.nowUs), this.nowUs)),
    );
  }

  async retain(rawDays: number, rollupDays: number): Promise<void> {
    await retain(this.#database, this.#writer, { rawDays, rollupDays, maxBytes: 1e12 }, this.nowUs);
  }
}

function lastDays(nowUs: number, days = 14) {
  const untilUs = Math.ceil(nowUs / 1e6) * 1e6;
  return { window: { sinceUs: untilUs - days * DAY_US, untilUs } };
}

const boardRows = (board: HostBoard | null) =>
  board && {
    asOfUs: board.asOfUs,
    hosts: board.hosts,
    profiles: [...board.profiles].sort(([a], [b]) => a - b),
  };

const READINESS_ATTRIBUTES: GroupBy[] = ['account', { tag: 'team' }];
const FILTERS: HostFilter[] = [
  {},
  { regions: ['eu-west-1'] },
  { regions: [null], accounts: [null, '111122223333'] },
  { accounts: ['nowhere'] },
  { tags: [{ key: 'team', value: 'a' }] },
];

const PLACES: HostFilter[] = [
  { regions: ['eu-west-1'] },
  { regions: [null], accounts: [null] },
  { accounts: ['111122223333', 'nowhere'] },
];
const GROUP_QUESTIONS: [GroupAttribute, GroupFilter][] = [
  [{ tag: 'team' }, {}],
  [{ tag: 'team' }, { regions: ['eu-west-1'] }],
  ['region', { accounts: ['111122223333', 'nowhere'] }],
];

const step = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'write' as const }) },
  {
    weight: 3,
    // Forward by seconds to weeks, over the ends of hours, days and the window; and back, as a clock that is set.
    arbitrary: fc
      .constantFrom(1e6, 59e6, HOUR_US, DAY_US, 13 * DAY_US, 15 * DAY_US, -10e6, -HOUR_US)
      .map((us) => ({ kind: 'clock' as const, us })),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<[number, number]>([1, 1], [14, 400], [2, 20])
      .map(([raw, sums]) => ({ kind: 'retain' as const, raw, sums })),
  },
  { weight: 1, arbitrary: fc.constantFrom(3, 14, 30).map((days) => ({ kind: 'window' as const, days })) },
);

async function keptIsFresh(parameters: { seed?: number; path?: string } = {}): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      randomBatches(),
      fc.array(step, { minLength: 1, maxLength: 8 }),
      async (groups, steps) => {
        const shared = new Shared();
        const left = [...groups];
        let days = 14;
        for (const each of [{ kind: 'write' as const }, ...steps]) {
          if (each.kind === 'write') shared.write(left.shift() ?? []);
          else if (each.kind === 'clock') shared.nowUs += each.us;
          else if (each.kind === 'retain') await shared.retain(each.raw, each.sums);
          else days = each.days;
          const { insight, kept: judging } = shared.collector({ days });
          await judging.round();
          const { kept: reading } = shared.collector({ days });
          await reading.look();
          const question = lastDays(shared.nowUs, days);
          const anew = await insight.board(question);
          if (anew.hosts.length === 0) {
            assert.equal(await reading.board(), null);
            continue;
          }
          for (const kept of [judging, reading]) {
            assert.deepEqual(boardRows(await kept.board()), boardRows(anew));
            for (const by of GROUP_ATTRIBUTES) {
              const groupsKept = await kept.groups(by);
              assert.deepEqual(groupsKept!.value, await insight.groups(by, question), by);
              assert.equal(groupsKept!.asOfUs, shared.nowUs);
            }
            const fleet = (await kept.fleet())!;
            for (const [by, filter] of GROUP_QUESTIONS) {
              const ofKept = await insight.groupsOf(fleet.value, by, filter);
              assert.deepEqual(ofKept, await insight.groups(by, question, filter), attributeName(by));
            }
            for (const by of READINESS_ATTRIBUTES) {
              for (const filter of FILTERS) {
                const counted = await insight.readinessGroups(by, question, filter, (await kept.board())!);
                assert.deepEqual(counted, await insight.readinessGroups(by, question, filter));
              }
            }
            const held = (await kept.held())!;
            assert.deepEqual(
              await insight.fixFirstOf(held.value, held.asOfUs),
              await insight.fixFirst(question),
            );
            const sums = (await kept.places())!;
            for (const filter of [{}, ...PLACES]) {
              const ofPlaces = await insight.offendersOf(await insight.untriagedOf(sums.value, filter));
              assert.deepEqual(ofPlaces, await insight.offenders(question, filter));
            }
            const offenders = (await kept.offenders())!;
            assert.deepEqual(await insight.offendersOf(offenders.value), await insight.offenders(question));
          }
        }
      },
    ),
    { numRuns: 4, endOnFailure: true, ...parameters },
  );
}

test('what is kept is what a judgement of that moment gives, for any history', () => keptIsFresh());

test('a workload whose sums one place has deleted keeps its host there', () =>
  keptIsFresh({ seed: -2048706064, path: '2' }));

/** Returns a store with some hosts. */
function filled(): Shared {
  const shared = new Shared();
  for (const batches of fc.sample(randomBatches(), { numRuns: 3, seed: 7 }).flat()) shared.write(batches);
  return shared;
}

test('an answer is given for three minutes, with its time, and not after that', async () => {
  const shared = filled();
  const { kept: judging } = shared.collector();
  await judging.round();
  const madeUs = shared.nowUs;
  const { kept } = shared.collector();
  await kept.look();
  for (const seconds of [0, 100, 180]) {
    shared.nowUs = madeUs + seconds * 1e6;
    assert.equal((await kept.board())!.asOfUs, madeUs);
    assert.equal((await kept.groups('asg'))!.asOfUs, madeUs);
  }
  assert.equal(kept.counters()['too_old'], 0);
  shared.nowUs = madeUs + 181e6;
  assert.equal(await kept.board(), null);
  assert.equal(await kept.held(), null);
  assert.equal(kept.counters()['too_old'], 2, 'each question that must be worked out is counted');
  assert.equal(kept.counters()['board_age_seconds'], 181);
  // A clock that was set back: the answer seems to be from the future.
  shared.nowUs = madeUs - 31e6;
  assert.equal(await kept.offenders(), null);
  assert.equal(kept.counters()['too_old'], 3);
  shared.nowUs = madeUs - 30e6;
  assert.notEqual(await kept.offenders(), null);
});

test('an answer that was made with other settings is not used, and counted', async () => {
  const shared = filled();
  const { kept: judging } = shared.collector({ days: 14 });
  await judging.round();
  const { kept } = shared.collector({ days: 7 });
  await kept.look();
  assert.equal(await kept.board(), null);
  assert.equal(await kept.groups('asg'), null);
  assert.deepEqual([kept.counters()['made_otherwise'], kept.counters()['answers_given']], [2, 0]);
});

test('an answer in memory is not used after a change of what it was made with', async () => {
  const shared = filled();
  let rules = 'first';
  const { kept } = shared.collector({ rules: () => rules });
  await kept.round();
  assert.notEqual(await kept.offenders(), null);
  rules = 'second';
  assert.equal(await kept.offenders(), null);
  assert.equal(kept.counters()['made_otherwise'], 1);
  await kept.round();
  assert.notEqual(await kept.offenders(), null);
});

test('an answer says from when it is, and where one was missing it says why', async () => {
  const shared = filled();
  const { kept: judging } = shared.collector();
  const headerOf = async (kept: KeptJudgement) =>
    sourceHeaders((await readingOf(() => kept.board())).reading).map(([name, value]) => `${name}: ${value}`);
  assert.deepEqual(await headerOf(judging), ['Imdswatch-Judged-In-Advance: no; reason="none_yet"']);
  await judging.round();
  assert.deepEqual(await headerOf(judging), [`Imdswatch-Judged-In-Advance: ${toTimestamp(shared.nowUs)}`]);
  const { kept: others } = shared.collector({ days: 7 });
  await others.look();
  assert.deepEqual(await headerOf(others), ['Imdswatch-Judged-In-Advance: no; reason="other_settings"']);
  shared.nowUs += 181e6;
  assert.deepEqual(await headerOf(judging), ['Imdswatch-Judged-In-Advance: no; reason="too_old"']);
  const { kept: few } = shared.collector({ leastHosts: 5 });
  await few.round();
  assert.deepEqual(await headerOf(few), [], 'few hosts are judged when somebody asks');
  const { kept: waiting } = shared.collector();
  assert.equal((await headerOf(waiting)).length, 1);
  shared.nowUs += 181e6;
  assert.deepEqual(
    await headerOf(waiting),
    [],
    'another collector has kept nothing for three minutes: there are few hosts',
  );
});

test('few hosts are not judged in advance, and what was kept of many is deleted', async () => {
  const shared = filled();
  const { kept: many } = shared.collector();
  await many.round();
  assert.ok((await shared.admin.keptAnswers.heads()).length >= 3 + GROUP_ATTRIBUTES.length);
  const boardWithHeld = { value: () => assert.fail('few hosts were judged') };
  const insight = Object.create(shared.collector().insight, { boardWithHeld }) as Insight;
  const { kept: few } = shared.collector({ leastHosts: 5, insight });
  await few.round();
  assert.equal(few.counters()['round_failures'], 0);
  assert.deepEqual(await shared.admin.keptAnswers.heads(), []);
  assert.equal(await few.board(), null);
  assert.deepEqual([few.counters()['rounds'], few.counters()['rounds_not_needed']], [0, 1]);
  assert.equal(few.counters()['too_old'], 0, 'nothing is missed');
});

test('triage is always that of now', async () => {
  const shared = filled();
  const { insight, kept } = shared.collector();
  await kept.round();
  const { value } = (await kept.offenders())!;
  const [first] = await insight.offendersOf(value);
  assert.equal(first!.triage.state, 'open');
  const change = { workload: first!.id, title: first!.title, joined: [] };
  const by = { name: 'ada', sourceAddress: null };
  await shared.admin.triage.change(change, { state: 'in_progress' }, by, shared.nowUs / 1000);
  const [now] = await insight.offendersOf(value);
  assert.deepEqual([now!.id, now!.triage.state], [first!.id, 'in_progress']);
});

test('a damaged answer is not used, and the error is counted', async () => {
  const shared = filled();
  const { kept: judging } = shared.collector();
  await judging.round();
  const board = (await shared.admin.keptAnswers.read('board'))!;
  await shared.admin.keptAnswers.put({ ...board, parts: [board.parts[0]!.slice(0, 20)] });
  const { kept } = shared.collector();
  await kept.look();
  assert.equal(await kept.board(), null);
  assert.equal(kept.counters()['load_failures'], 1);
});

test('a collector ends while it judges, and stores nothing more of that', async () => {
  const shared = filled();
  const { kept: earlier } = shared.collector();
  await earlier.round();
  const before = await shared.admin.keptAnswers.heads();
  // The kept answers are too old, so the next collector judges at once.
  shared.nowUs += 600e6;
  const insight = new Insight(shared.reader, { readinessWindowDays: 14, silentAfterSeconds: 300 });
  const begun = Promise.withResolvers<void>();
  const judged = Promise.withResolvers<Awaited<ReturnType<Insight['boardWithHeld']>>>();
  const { kept } = shared.collector({
    lookMs: 1,
    insight: Object.assign(insight, {
      boardWithHeld: () => {
        begun.resolve();
        return judged.promise;
      },
    }),
  });
  await kept.start();
  await begun.promise;
  await kept.stop();
  judged.resolve(await shared.collector().insight.boardWithHeld(lastDays(shared.nowUs)));
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(await shared.admin.keptAnswers.heads(), before);
  assert.equal(kept.counters()['round_failures'], 0);
});

test('a collector whose lease another one has by now stores nothing', async () => {
  const shared = filled();
  const { kept } = shared.collector();
  await kept.round();
  const before = await shared.admin.keptAnswers.heads();
  const { kept: late } = shared.collector();
  shared.nowUs += 20e6;
  const taken = shared.admin.transaction.bind(shared.admin);
  let isTaken = false;
  // Another collector takes the lease between the judgement and the transaction.
  shared.admin.transaction = async (area, work) => {
    if (!isTaken) await shared.admin.leases.take('judgement', 'another', LEASE_MS);
    isTaken = true;
    return taken(area, work);
  };
  await late.round();
  assert.deepEqual(await shared.admin.keptAnswers.heads(), before);
  assert.equal(late.counters()['round_failures'], 1);
});
