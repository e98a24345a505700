/** Tests that a scope shows what a store would show that has nothing but the hosts of this scope. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import type { ViewScope } from '../../../../collector/contract/host_scope.ts';
import { isInScope } from '../../../../collector/store/host_filter.ts';
import { ScopedQueries } from '../../../../collector/store/scoped_queries.ts';
import { openForReading, openForWriting } from '../../../../collector/store/sqlite/database.ts';
import { FindingsReader } from '../../../../collector/store/sqlite/findings_reader.ts';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { FindingsWriter } from '../../../../collector/store/sqlite/findings_writer.ts';
import { pack } from '../../../../collector/store/sqlite/packed_batch.ts';
import type {
  CloudInventory,
  CloudMember,
  Scope,
  StoredBatch,
  StoreQueries,
} from '../../../../collector/store/store.ts';
import { answersOf } from '../../../support/collector/store/contract.ts';
import { NOW_US, randomBatches } from '../../../support/collector/store/random_batches.ts';
import {
  ALL,
  ALL_CALLS,
  call,
  EVER,
  program,
  report,
  stream,
} from '../../../support/collector/store/records.ts';

const directory = mkdtempSync(join(tmpdir(), 'imdswatch-scoped-'));
after(() => rmSync(directory, { recursive: true }));

const MINE: ViewScope = [{ accounts: ['111'], tags: { team: ['a'] } }];
/** The hosts 0 and 1 are in the scope. The host 2 has the tag alone, and the host 3 the account alone. */
const PLACES = [
  { 'cloud.account.id': '111', tags: { team: 'a', env: 'x' } },
  { 'cloud.account.id': '111', tags: { team: 'a' } },
  { 'cloud.account.id': '222', tags: { team: 'a' } },
  { 'cloud.account.id': '111', tags: { team: 'b' } },
];
const HOST_IDS = ['i-0', 'i-1', 'i-2', 'i-3'];
const OWN = new Set(['i-0', 'i-1', 'i-own']);
const HOUR_US = 3_600_000_000;

class Filled {
  readonly reader: FindingsReader;
  readonly #writer: FindingsWriter;

  constructor() {
    const dataDir = mkdtempSync(join(directory, 'store-'));
    this.#writer = new FindingsWriter(openForWriting(dataDir, FINDINGS), () => NOW_US);
    this.reader = new FindingsReader(openForReading(dataDir, FINDINGS));
  }

  async fill(batches: readonly StoredBatch[], inventory: CloudInventory): Promise<this> {
    this.#writer.putCloudInventory(inventory);
    for (const batch of batches) this.#writer.write(pack([batch]));
    const hour = Math.floor(NOW_US / HOUR_US) * HOUR_US;
    // A host that has not reported is in no scope, also where the cloud has counts of it.
    const ids = (await this.reader.hostPage(null, null, 100)).map(({ facts }) => facts.id);
    this.#writer.putCloudCounts(
      ids.map((hostId) => ({
        hostId,
        startUs: hour - HOUR_US,
        endUs: hour,
        noToken: 3,
        noTokenRejected: null,
      })),
    );
    const options = { hopLimit: 1, httpEndpoint: 'enabled' as const, suppliedUs: NOW_US };
    this.#writer.putCloudInstances(
      inventory.instances.map(({ hostId }) => ({ hostId, httpTokens: 'optional' as const, ...options })),
    );
    return this;
  }
}

const member = (hostId: string, tags: Record<string, string>, account = '111'): CloudMember => ({
  ...{
    hostId,
    account,
    region: 'eu-west-1',
    state: 'running',
    launchedUs: NOW_US - HOUR_US,
    terminatedUs: null,
  },
  ...{ imageId: 'ami-1', scalingGroup: 'web', templateId: null, templateVersion: null, isSpot: null },
  ...{ managedBy: null, tags, suppliedUs: NOW_US },
});
const MEMBERS = [
  member('i-0', { team: 'a' }),
  member('i-own', { team: 'a' }),
  member('i-other', { team: 'b' }),
  member('i-elsewhere', { team: 'a' }, '222'),
  // The agent of this host says that it is of another team, and the agent counts.
  member('i-3', { team: 'a' }),
];
const inventoryOf = (instances: CloudMember[]): CloudInventory => ({
  instances,
  resources: [
    {
      facts: { kind: 'account_defaults', account: '111', region: 'r', id: 'd' } as never,
      suppliedUs: NOW_US,
    },
  ],
});

/** Leaves out what is not about single hosts. */
function comparable(queries: StoreQueries): StoreQueries {
  return Object.assign(Object.create(queries) as StoreQueries, {
    ...Object.fromEntries(
      Object.getOwnPropertyNames(Object.getPrototypeOf(queries))
        .filter((name) => name !== 'constructor')
        .map((name) => [name, (queries[name as keyof StoreQueries] as () => unknown).bind(queries)]),
    ),
    reportedSpan: async () => null,
    identitiesAfter: async () => [],
    // The first day is how far back the store goes, whoever asks.
    callingDays: async (...question: Parameters<StoreQueries['callingDays']>) => ({
      ...(await queries.callingDays(...question)),
      firstDay: null,
    }),
    statistics: async () => ({ bytes: 0, calls: 0, oldestCallUs: null, identities: 0, hosts: 0 }),
  });
}

test('a scope answers every question as a store of its hosts alone does', async () => {
  await fc.assert(
    fc.asyncProperty(randomBatches(), fc.nat(100), async (groups, hours) => {
      const factsOf = (id: string) => ({ id, name: `host-${id}`, ...PLACES[Number(id.slice(2))] });
      // A host that has not reported is in no scope, so that every host reports once.
      const first = HOST_IDS.map((id) =>
        stream(factsOf(id))(report(id, NOW_US - 9 * HOUR_US, NOW_US - 8 * HOUR_US)),
      );
      const batches = [
        ...first,
        ...groups.flat().map((batch) => ({ ...batch, host: factsOf(batch.host.id) })),
      ];
      const all = await new Filled().fill(batches, inventoryOf(MEMBERS));
      const own = await new Filled().fill(
        batches.filter(({ host }) => OWN.has(host.id)),
        inventoryOf(MEMBERS.filter(({ hostId }) => OWN.has(hostId))),
      );
      const identities = (await all.reader.identitiesAfter(0, 100)).map(({ identity }) => identity.id);
      const window = { sinceUs: NOW_US - hours * HOUR_US - 1, untilUs: NOW_US };
      const scopes: Scope[] = [
        ALL,
        { ...ALL, window },
        { window, hosts: ['i-0', 'i-2', 'i-9'], identities: null },
        { window: EVER, hosts: null, identities: identities.slice(0, 2) },
        { window: EVER, hosts: { tags: [{ key: 'env', value: null }] }, identities: null },
        { window: EVER, hosts: { accounts: ['222', '111'], text: 'HOST' }, identities: null },
      ];
      const questions = { scopes, hostIds: [...HOST_IDS, 'i-own', 'i-other', 'i-elsewhere'], identities };
      const expected = await answersOf(comparable(own.reader), questions);
      const answers = await answersOf(comparable(new ScopedQueries(all.reader, MINE)), questions);
      for (const [question, answer] of Object.entries(expected)) {
        assert.deepEqual(answers[question], answer, question);
      }
      assert.deepEqual(Object.keys(answers).sort(), Object.keys(expected).sort());
    }),
    { numRuns: 6, endOnFailure: true },
  );
});

test('what a host reports now decides, about all that is stored of it', async () => {
  const moved = { id: 'i-moved', name: 'moved', 'cloud.account.id': '111' };
  const before = stream({ ...moved, tags: { team: 'a' } }, [program('curl')]);
  const batch = before(call(NOW_US - 2 * HOUR_US), report('i-moved', NOW_US - 2 * HOUR_US, NOW_US - HOUR_US));
  const later = { ...before(call(NOW_US - HOUR_US)), host: { ...moved, tags: { team: 'b' } } };
  const { reader } = await new Filled().fill([batch, later], inventoryOf([member('i-moved', { team: 'a' })]));
  const seenBy = async (team: string) => {
    const queries = new ScopedQueries(reader, [{ tags: { team: [team] } }]);
    const { calls } = await queries.calls(ALL_CALLS, 10, null);
    const { hostIds, profileOf } = await queries.members(EVER, null, 0, 10);
    const profiles = await queries.profiles();
    return {
      calls: calls.length,
      hosts: (await queries.hosts(['i-moved'])).length,
      workloads: (await queries.identityTotals(ALL)).map(({ kinds }) =>
        kinds.reduce((sum, k) => sum + k.count, 0),
      ),
      members: hostIds,
      profiles: [...profileOf].map((id) => profiles.get(id)?.facts.tags),
      instances: (await queries.cloudInventory()).instances.length,
    };
  };
  assert.deepEqual(await seenBy('b'), {
    calls: 2,
    hosts: 1,
    workloads: [2],
    members: ['i-moved'],
    profiles: [{ team: 'b' }],
    instances: 1,
  });
  assert.deepEqual(await seenBy('a'), {
    calls: 0,
    hosts: 0,
    workloads: [],
    members: [],
    profiles: [],
    instances: 0,
  });
});

test('the paths of more calls than are counted are in the line of the others', async () => {
  const next = stream({ id: 'i-0', name: 'h', 'cloud.account.id': '111', tags: { team: 'a' } }, [
    program('curl'),
  ]);
  const batches = Array.from({ length: 5 }, (_, part) =>
    next(
      ...Array.from({ length: 500 }, (_, at) =>
        call(NOW_US - HOUR_US + part * 1000 + at, { 'url.path': part === 0 ? '/old' : '/new' }),
      ),
    ),
  );
  const { reader } = await new Filled().fill(batches, inventoryOf([]));
  const queries = new ScopedQueries(reader, MINE);
  const [totals] = await queries.identityTotals(ALL);
  const paths = await queries.pathsV1(totals!.identity.id, 10);
  assert.deepEqual(
    paths.map(({ path, count }) => [path, count]),
    [
      ['/new', 2000],
      [null, 500],
    ],
  );
});

test('a host matches one of several scopes, with its account and all of its keys', () => {
  const facts = { 'cloud.account.id': '1', tags: { team: 'a', env: 'p' } };
  const cases: [boolean, ViewScope][] = [
    [true, [{ accounts: ['1'] }]],
    [false, [{ accounts: ['2'] }]],
    [true, [{ accounts: ['2'] }, { tags: { team: ['x', 'a'] } }]],
    [true, [{ accounts: ['1'], tags: { team: ['a'], env: ['p'] } }]],
    [false, [{ accounts: ['1'], tags: { team: ['a'], env: ['q'] } }]],
    [false, [{ tags: { toString: ['x'] } }]],
    [false, [{}]],
    [false, []],
  ];
  for (const [expected, scope] of cases)
    assert.equal(isInScope(facts, scope), expected, JSON.stringify(scope));
  assert.equal(isInScope({}, [{ accounts: ['1'] }]), false);
  assert.equal(isInScope({}, [{ tags: { team: [''] } }]), false, 'a missing tag is not an empty one');
});
