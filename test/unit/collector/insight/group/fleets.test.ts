/**
 * Random fleets: hosts that come and go, late reports, changed tags, figures of the cloud in any order, and
 * retention. What the store keeps ready for groups equals what the tables say, and one group alone equals the
 * same group among all.
 */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { DAY_US, HOUR_US, type Window } from '../../../../../collector/contract/window.ts';
import { Insight } from '../../../../../collector/insight/insight.ts';
import { heardHost } from '../../../../../collector/store/packed_heartbeat.ts';
import { openForWriting } from '../../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../../collector/store/sqlite/packed_batch.ts';
import { retain } from '../../../../../collector/store/sqlite/retention.ts';
import {
  CLOUD_STATES,
  type MemberColumns,
  type MembersPlace,
  type StoredMembers,
  type StoredRecord,
  type StoreQueries,
} from '../../../../../collector/store/store.ts';
import { toTimestamp } from '../../../../../collector/store/time.ts';
import { type GroupAttribute, groupId } from '../../../../../common/group_id.ts';
import type { HostFacts } from '../../../../../protocol/call.ts';
import { Bench } from '../../../../support/collector/in_process.ts';
import { heartbeatOf, watched } from '../../../../support/collector/insight/findings.ts';
import { call, program } from '../../../../support/collector/store/records.ts';

const bench = new Bench();
after(() => bench.end());

const NOW_US = Math.floor((Date.now() * 1000) / HOUR_US) * HOUR_US;
/** Times of figures are multiples of this. */
const SLOT_US = HOUR_US / 2;
const FIRST_US = NOW_US - 4 * DAY_US;
const PLACE = { account: '123456789012', region: 'eu-west-1' };
const IDS = ['i-a', 'i-b'];

const hostId = fc.constantFrom(...IDS);
// Most times are close to each other, so that launches, reports and counts meet.
const within = (hours: number, unitUs: number) =>
  fc.integer({ min: 0, max: (hours * HOUR_US) / unitUs }).map((at) => FIRST_US + at * unitUs);
const slot = fc.oneof({ weight: 4, arbitrary: within(5, SLOT_US) }, within(90, SLOT_US));
const second = fc.oneof({ weight: 4, arbitrary: within(5, 1_000_000) }, within(90, 1_000_000));
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null, freq: 3 });

const step = fc.oneof(
  fc.record({
    kind: fc.constant('report' as const),
    hostId,
    fromUs: second,
    hours: fc.integer({ min: 1, max: 20 }),
    asg: fc.constantFrom('web', 'api', null),
    team: fc.constantFrom('shop=eu', 'shop', null),
    version: fc.constantFrom(1 as const, 2 as const, 2 as const, 2 as const),
  }),
  fc.record({ kind: fc.constant('heartbeat' as const), hostId, us: second }),
  fc.record({
    kind: fc.constant('counts' as const),
    hostId,
    rows: fc.array(
      fc.record({
        us: slot,
        slots: fc.constantFrom(1, 2, 4, 8, 48),
        noToken: fc.constantFrom(0, 0, 0, 1),
        noTokenRejected: fc.constantFrom(null, 0),
      }),
      { minLength: 1, maxLength: 6 },
    ),
  }),
  fc.record({
    kind: fc.constant('inventory' as const),
    hostId,
    state: maybe(fc.constantFrom(...CLOUD_STATES)),
    launchedUs: maybe(second),
    terminatedUs: maybe(second),
    asg: maybe(fc.constantFrom('web', 'api')),
    suppliedUs: within(90, 1_000_000),
  }),
  fc.record({
    kind: fc.constant('options' as const),
    hostId,
    httpTokens: fc.constantFrom('required' as const, 'optional' as const),
    suppliedUs: second,
  }),
  fc.record({ kind: fc.constant('retain' as const), days: fc.integer({ min: 1, max: 2 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
const someSteps = fc.array(step, { minLength: 12, maxLength: 24, size: 'max' });
const window = fc
  .record({ days: fc.constantFrom(1, 2, 4, 4, 4, 4), backHours: fc.constantFrom(0, 0, 1, 30) })
  .map(({ days, backHours }) => {
    const untilUs = NOW_US - backHours * HOUR_US;
    return { sinceUs: untilUs - days * DAY_US, untilUs };
  });

class Fleet {
  readonly #directory = bench.directory();
  readonly database = openForWriting(this.#directory, FINDINGS);
  readonly #writer = new FindingsWriter(this.database, () => NOW_US);
  readonly reader = new FindingsReader(this.database);

  async run(steps: readonly Step[]): Promise<void> {
    for (const each of steps) await this.#run(each);
  }

  async #run(each: Step): Promise<void> {
    switch (each.kind) {
      case 'report': {
        const { hostId: id, fromUs, hours, asg, team, version } = each;
        const untilUs = Math.min(fromUs + hours * HOUR_US, NOW_US);
        const host: HostFacts = {
          id,
          name: id,
          'cloud.account.id': PLACE.account,
          'cloud.region': PLACE.region,
          'image.id': 'ami-1',
          tags: {
            ...(asg !== null && { 'aws:autoscaling:groupName': asg }),
            ...(team !== null && { team }),
          },
        };
        const report = watched(id, toTimestamp(fromUs), toTimestamp(untilUs)) as StoredRecord;
        const records = [report, call(fromUs + 1_000_000, { 'imds.version': version })];
        const batch = { stream: uuidv7(), seq: 1, host, callers: [program('curl')], records };
        this.#writer.write(pack([batch]));
        return;
      }
      case 'heartbeat':
        this.#writer.heartbeats([heardHost(heartbeatOf(each.hostId, each.us), each.us)]);
        return;
      case 'counts':
        this.#writer.putCloudCounts(
          each.rows.map(({ us, slots, noToken, noTokenRejected }) => ({
            hostId: each.hostId,
            startUs: us,
            endUs: us + slots * SLOT_US,
            noToken,
            noTokenRejected,
          })),
        );
        return;
      case 'inventory': {
        const { kind: _, asg, ...member } = each;
        const instance = {
          ...member,
          ...PLACE,
          imageId: 'ami-1',
          scalingGroup: asg,
          templateId: null,
          templateVersion: null,
          isSpot: null,
          managedBy: null,
          tags: null,
        };
        this.#writer.putCloudInventory({ instances: [instance], resources: [] });
        return;
      }
      case 'options': {
        const { kind: _, ...options } = each;
        this.#writer.putCloudInstances([{ ...options, hopLimit: 1, httpEndpoint: null }]);
        return;
      }
      case 'retain': {
        const retention = { rawDays: each.days, rollupDays: each.days, maxBytes: 1e12 };
        await retain(this.database, this.#writer, retention, NOW_US);
      }
    }
  }

  /** Returns whether the counts of a host cover a span; computed from the rows, slot by slot. */
  isCounted(id: string, fromUs: number, toUs: number): boolean {
    const rows = this.database
      .prepare('SELECT start_us AS startUs, end_us AS endUs FROM cloud_counts WHERE host_id = ?')
      .all(id) as { startUs: number; endUs: number }[];
    for (let us = fromUs; us < toUs; us += SLOT_US) {
      if (!rows.some(({ startUs, endUs }) => startUs <= us && endUs >= us + SLOT_US)) return false;
    }
    return true;
  }

  one(sql: string, id: string): Record<string, unknown> {
    return this.database.prepare(sql).get(id) ?? {};
  }
}

const valueAt = (columns: MemberColumns, name: keyof MemberColumns, at: number) => {
  const value = columns[name][at]!;
  return Number.isNaN(value) ? null : value;
};

/** Returns members without what depends on the page: places are ids here. */
function pageOf({ hostIds, columns, memberOf, profileOf, gaps, reboots, withCountedCalls }: StoredMembers) {
  const named = <T extends { member: number }>({ member, ...rest }: T) => ({ id: hostIds[member]!, ...rest });
  const pairs = Array.from(memberOf, (member, index) => `${hostIds[member]} ${profileOf[index]}`);
  return {
    members: hostIds.map((id, at) => [id, ...Object.values(columns).map((column) => column[at])]),
    pairs: pairs.sort(),
    gaps: gaps.map(named).sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.startUs - b.startUs)),
    reboots: reboots.map(named),
    withCountedCalls,
  };
}

async function inPages(reader: StoreQueries, of: Window) {
  const pages: ReturnType<typeof pageOf>[] = [];
  for (let after: MembersPlace | null = 0; after !== null; ) {
    const page: StoredMembers = await reader.members(of, null, after, 2);
    assert.ok(page.hostIds.length <= 2);
    pages.push(pageOf(page));
    after = page.next;
  }
  return {
    members: pages.flatMap((page) => page.members),
    pairs: pages.flatMap((page) => page.pairs).sort(),
    gaps: pages
      .flatMap((page) => page.gaps)
      .sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : a.startUs - b.startUs)),
    reboots: pages.flatMap((page) => page.reboots),
    withCountedCalls: pages.flatMap((page) => page.withCountedCalls),
  };
}

describe('random fleets', () => {
  it('the store has ready for groups what its tables say', async () => {
    await fc.assert(
      fc.asyncProperty(someSteps, window, async (steps, of) => {
        const fleet = new Fleet();
        await fleet.run(steps);
        const all = await fleet.reader.members(of, null, 0, 10_000);
        const { hostIds, columns } = all;
        assert.deepEqual(await inPages(fleet.reader, of), pageOf(all));
        for (const id of IDS) {
          const host = fleet.one('SELECT id, last_us FROM hosts WHERE host_id = ?', id);
          const seen = fleet.one(
            'SELECT w.first_us, w.last_us FROM watched w JOIN hosts h ON h.id = w.host WHERE h.host_id = ?',
            id,
          );
          const beat = fleet.one('SELECT heard_us AS received_us FROM last_heard WHERE host_id = ?', id);
          const member = fleet.one('SELECT * FROM cloud_members WHERE host_id = ?', id);
          const options = fleet.one('SELECT * FROM cloud_instances WHERE host_id = ?', id);
          const runs =
            member['terminated_us'] == null && ['pending', 'running'].includes(String(member['state']));
          const lately = [host['last_us'], seen['last_us'], beat['received_us']];
          const ended = Number(member['terminated_us'] ?? (runs ? of.sinceUs : member['supplied_us']));
          const expected =
            host['id'] !== undefined
              ? runs || lately.some((us) => us != null && Number(us) >= of.sinceUs)
              : member['host_id'] !== undefined && ended >= of.sinceUs;
          const at = hostIds.indexOf(id);
          assert.equal(at >= 0, expected, `${id} is a member`);
          if (at < 0) continue;
          const launchedUs = (member['launched_us'] ?? null) as number | null;
          const terminatedUs = (member['terminated_us'] ?? null) as number | null;
          assert.deepEqual(
            {
              firstUs: valueAt(columns, 'firstUs', at),
              lastUs: valueAt(columns, 'lastUs', at),
              state: columns.state[at],
              launchedUs: valueAt(columns, 'launchedUs', at),
              terminatedUs: valueAt(columns, 'terminatedUs', at),
              suppliedUs: valueAt(columns, 'suppliedUs', at),
              tokens: columns.tokens[at],
              tokensSuppliedUs: valueAt(columns, 'tokensSuppliedUs', at),
            },
            {
              firstUs: seen['first_us'] ?? null,
              lastUs: seen['last_us'] ?? null,
              state: CLOUD_STATES.indexOf(member['state'] as (typeof CLOUD_STATES)[number]) + 1,
              launchedUs,
              terminatedUs,
              suppliedUs: member['supplied_us'] ?? null,
              tokens: ['optional', 'required'].indexOf(String(options['http_tokens'])) + 1,
              tokensSuppliedUs: options['supplied_us'] ?? null,
            },
          );
          if (host['id'] === undefined) continue;
          for (let us = FIRST_US; us < NOW_US; us += HOUR_US) {
            const launchHourUs = launchedUs === null ? Number.NaN : launchedUs - (launchedUs % HOUR_US);
            if (us > launchHourUs) {
              assert.equal(
                (valueAt(columns, 'launchCountedUs', at) ?? 0) >= us,
                fleet.isCounted(id, launchHourUs, us),
                `${id}: counts from the launch to ${us}`,
              );
            }
            const endHourUs =
              terminatedUs === null ? Number.NaN : Math.ceil(terminatedUs / HOUR_US) * HOUR_US;
            if (us < endHourUs) {
              assert.equal(
                (valueAt(columns, 'endCountedUs', at) ?? Number.POSITIVE_INFINITY) <= us,
                fleet.isCounted(id, us, endHourUs),
                `${id}: counts from ${us} to the end`,
              );
            }
          }
        }
        fleet.database.close();
      }),
      { numRuns: 40, endOnFailure: true },
    );
  });

  it('one group alone is the same group as among all of its attribute', async () => {
    await fc.assert(
      fc.asyncProperty(someSteps, window, async (steps, of) => {
        const fleet = new Fleet();
        await fleet.run(steps);
        const insight = new Insight(fleet.reader, {
          readinessWindowDays: 2,
          silentAfterSeconds: 300,
          now: () => NOW_US / 1000,
        });
        const attributes: GroupAttribute[] = ['asg', 'image', 'account', { tag: 'team' }];
        for (const by of attributes) {
          const groups = await insight.groups(by, { window: of });
          for (const group of groups) {
            const found = await insight.group(groupId(by, group.value), { window: of });
            const { instances, verdicts, command, command_notes, ...alone } = found!;
            assert.deepEqual(alone, group);
            assert.equal(instances.length, group.members);
          }
        }
        assert.equal(await insight.group('asg:absent', { window: of }), null);
        fleet.database.close();
      }),
      { numRuns: 25, endOnFailure: true },
    );
  });
});
