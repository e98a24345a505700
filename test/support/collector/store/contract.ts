/** All questions of a store, with answers in a form in which two stores can be compared. */
import type { Window } from '../../../../collector/contract/window.ts';
import type {
  CallFilter,
  HostBriefs,
  MembersPlace,
  Scope,
  StoredMembers,
  StoreQueries,
} from '../../../../collector/store/store.ts';
import { ALL_CALLS, EVER } from './records.ts';

/** Sorts lists whose order the contract leaves open, and leaves out what is not there. */
export function canonical(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(canonical).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  if (ArrayBuffer.isView(value)) return [...(value as unknown as Iterable<number>)];
  if (value instanceof Map) return canonical([...value.values()]);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, each]) => each !== undefined && each !== null)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, canonical(each)]),
  );
}

export interface Questions {
  scopes: readonly Scope[];
  hostIds: readonly string[];
  identities: readonly string[];
}

/** Asks everything. The keys say what was asked. */
export async function answersOf(
  store: Omit<StoreQueries, 'close'>,
  { scopes, hostIds, identities }: Questions,
): Promise<Record<string, unknown>> {
  const answers: Record<string, unknown> = {};
  const profiles = await store.profiles();
  const factsOf = (profile: number) => profiles.get(profile)?.facts ?? null;
  answers['profiles'] = canonical(profiles);
  for (const [at, scope] of scopes.entries()) {
    const ask = async (name: string, answer: Promise<unknown>) => {
      answers[`${name} ${at}`] = canonical(await answer);
    };
    const { window } = scope;
    await ask('identityTotals', store.identityTotals(scope));
    await ask('callTotals', store.callTotals(scope));
    const joined = identities.slice(0, 2).map((identity) => [identity, 'joined'] as const);
    const options = { latest: 2, tagKeys: ['team', 'env'] };
    await ask('workloadHosts', store.workloadHosts(scope, options));
    await ask('joined workloadHosts', store.workloadHosts(scope, { ...options, joined }));
    for (const bucket of ['hour', 'day'] as const) {
      const places = await store.sumsByPlace(window, { ...options, joined, bucket });
      answers[`sumsByPlace ${bucket} ${at}`] = canonical(places);
    }
    answers[`callerHosts ${at}`] = await pages((after) => store.callerHosts(scope, after, 2));
    for (const bucket of ['hour', 'day'] as const) {
      for (const byIdentity of [false, true]) {
        await ask(`series ${bucket} ${byIdentity}`, store.series(scope, bucket, byIdentity));
      }
    }
    const ids = (await store.hostPage(scope.hosts, null, 100)).map(({ facts }) => facts.id);
    answers[`hostPage ${at}`] = ids;
    const ofHosts = { ...scope, hosts: ids };
    await ask('measuredHops', store.measuredHops(ofHosts));
    await ask('hostTotals', store.hostTotals(ofHosts));
    await ask('hostTotals without IMDSv2', store.hostTotals(ofHosts, false));
    await ask('coverage', store.coverage(window, [...ids]));
    await ask('hosts', store.hosts(ids));
    await ask('hostBriefs', briefsOf(store, scope, factsOf));
    await ask('reportedDays', store.reportedDays(scope.hosts));
    answers[`countedHosts ${at}`] = await pages((after) => store.countedHosts(window, scope.hosts, after, 1));
    const days = await store.callingDays(20_000, 21_000, scope.hosts);
    answers[`callingDays ${at}`] = canonical({
      firstDay: days.firstDay,
      days: days.days.map(({ day, hosts, identities: callers }) => ({ day, hosts: hosts.length, callers })),
    });
    const filter: CallFilter = { ...ALL_CALLS, window, hosts: ids, identities: scope.identities };
    answers[`calls ${at}`] = await callsOf(store, filter);
    answers[`members ${at}`] = canonical(await membersOf(store, window, null, factsOf));
  }
  for (const [profile, { facts }] of profiles) {
    answers[`members ${JSON.stringify(facts)}`] = canonical(await membersOf(store, EVER, [profile], factsOf));
  }
  const filters: Partial<CallFilter>[] = [
    {},
    { version: 1 },
    { path: 'USER-' },
    { path: '%' },
    { categories: ['credentials'], outcomes: ['answered'] },
    { identities: [...identities] },
    { hosts: [...hostIds] },
  ];
  for (const [at, filter] of filters.entries()) {
    answers[`filtered calls ${at}`] = await callsOf(store, { ...ALL_CALLS, ...filter });
  }
  answers['hosts'] = canonical(await store.hosts(hostIds));
  answers['coverage'] = canonical(await store.coverage(EVER, hostIds));
  answers['hostNames'] = await store.hostNames([...hostIds, 'i-unknown']);
  answers['identities'] = canonical(await store.identities([...identities, 'unknown']));
  answers['identitiesAfter'] = canonical(
    (await store.identitiesAfter(0, 1_000)).map(({ identity }) => identity),
  );
  answers['reportedSpan'] = await store.reportedSpan();
  for (const identity of identities) {
    answers[`pathsV1 ${identity}`] = await store.pathsV1(identity, 3);
    answers[`callers ${identity}`] = canonical(await store.callers(identity, 100, null));
  }
  for (const hostId of hostIds) {
    const spans = scopes.map(({ window }) => window);
    answers[`answeredV1 ${hostId}`] = await store.answeredV1(hostId, spans);
    answers[`refusedV1 ${hostId}`] = await store.refusedV1(hostId, spans);
  }
  answers['cloudCounts'] = await store.cloudCounts(EVER, hostIds);
  answers['cloudInstances'] = await store.cloudInstances(hostIds);
  answers['some cloudInstances'] = await store.cloudInstances(hostIds.slice(0, 1));
  answers['cloudInventory'] = await store.cloudInventory();
  const { calls, oldestCallUs, identities: workloads, hosts } = await store.statistics();
  answers['statistics'] = { calls, oldestCallUs, workloads, hosts };
  return answers;
}

async function pages(ask: (after: string | null) => Promise<string[]>): Promise<string[]> {
  const found: string[] = [];
  for (;;) {
    const page = await ask(found.at(-1) ?? null);
    if (page.length === 0) return found;
    found.push(...page);
  }
}

/** Reads all pages of three calls. */
async function callsOf(store: Pick<StoreQueries, 'calls'>, filter: CallFilter): Promise<unknown> {
  const found: unknown[] = [];
  for (let cursor: string | null = null; ; ) {
    const { calls, next } = await store.calls(filter, 3, cursor);
    found.push(...calls.map(withoutUndefined));
    if (next === null) return found;
    cursor = next;
  }
}

function withoutUndefined(call: object): object {
  return JSON.parse(JSON.stringify(call));
}

async function briefsOf(
  store: Pick<StoreQueries, 'hostBriefs'>,
  { hosts, window }: Scope,
  factsOf: (profile: number) => unknown,
): Promise<unknown> {
  const found: unknown[] = [];
  for (let after: number | null = 0; after !== null; ) {
    const briefs: HostBriefs = await store.hostBriefs(hosts, window, after, 2);
    for (const [at, hostId] of briefs.hostIds.entries()) {
      found.push({
        hostId,
        name: briefs.names[at],
        profile: factsOf(briefs.profiles[at]!),
        times: [
          briefs.firstUs[at],
          briefs.lastUs[at],
          briefs.receivedUs[at],
          briefs.watchedFirstUs[at],
          briefs.watchedLastUs[at],
          briefs.tokensSuppliedUs[at],
        ].map(String),
        tokens: briefs.tokens[at],
        gaps: briefs.gaps.filter(({ host }) => host === at).map(({ host: _host, ...gap }) => gap),
        boots: [...briefs.boots.firstUs].filter((_, boot) => briefs.boots.host[boot] === at),
        isCounted: briefs.withCountedCalls.includes(hostId),
        totals: briefs.totals.filter((total) => total.hostId === hostId),
      });
    }
    after = briefs.next;
  }
  return found;
}

async function membersOf(
  store: Pick<StoreQueries, 'members'>,
  window: Window,
  profiles: readonly number[] | null,
  factsOf: (profile: number) => unknown,
): Promise<unknown> {
  const found: unknown[] = [];
  for (let after: MembersPlace | null = 0; after !== null; ) {
    const page: StoredMembers = await store.members(window, profiles, after, 2);
    const { hostIds, columns, memberOf, profileOf, gaps, reboots, withCountedCalls, totals } = page;
    hostIds.forEach((hostId, at) => {
      found.push({
        hostId,
        columns: Object.values(columns).map((column) => String(column[at])),
        profiles: [...profileOf].filter((_, pair) => memberOf[pair] === at).map(factsOf),
        gaps: gaps.filter(({ member }) => member === at).map(({ member: _member, ...gap }) => gap),
        reboots: reboots.filter(({ member }) => member === at).map(({ firstUs }) => firstUs),
        isCounted: withCountedCalls.includes(hostId),
        totals: totals.filter((total) => total.hostId === hostId),
        forgottenUntilUs: page.forgottenUntilUs,
      });
    });
    after = page.next;
  }
  return found;
}
