/** Tests the filters, the order and the pages of lists. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { DAY_US } from '../../../../collector/contract/window.ts';
import { type ApiBench, problemOf, startApi } from '../../../support/collector/api/api_bench.ts';
import { makeHost, makeOffender } from '../../../support/collector/api/findings.ts';
import { pageOfMade } from '../../../support/collector/api/host_pages.ts';
import { NO_TRIAGE } from '../../../support/collector/triage.ts';

let api: ApiBench;
before(async () => {
  api = await startApi();
});
after(() => api.end());

test('filters reach insight: window, hosts, tags, unknown values', async () => {
  await api.ask(
    '/api/v1/offenders?from=2026-11-01T00:00:00Z&to=2026-11-02T02:00:00%2B02:00&host=i-1&host=i-2&account=&region=eu&tag=team:a:b&tag=env',
  );
  const [method, question, filter] = api.asked.at(-1)!;
  assert.equal(method, 'offenders');
  assert.deepEqual(question, {
    window: { sinceUs: Date.UTC(2026, 10, 1) * 1000, untilUs: Date.UTC(2026, 10, 2) * 1000 },
  });
  assert.deepEqual(filter, {
    ids: ['i-1', 'i-2'],
    accounts: [null],
    regions: ['eu'],
    tags: [
      { key: 'team', value: 'a:b' },
      { key: 'env', value: null },
    ],
  });
  await api.ask('/api/v1/overview?days=30');
  const { window } = api.asked.at(-1)![1] as { window: { sinceUs: number; untilUs: number } };
  assert.equal(window.untilUs - window.sinceUs, 30 * DAY_US);
  assert.ok(window.untilUs >= (Date.now() - 60_000) * 1000);
  await api.ask('/api/v1/readiness/groups?by=tag:team&text=web');
  assert.deepEqual(api.asked.at(-1)!.at(1), { tag: 'team' });
  assert.deepEqual(api.asked.at(-1)!.at(3), { text: 'web' });
});

test('offenders: filtered by severity, text, unit, user, client; sorted in both directions', async () => {
  const ids = async (query: string) => {
    const { items } = (await (await api.ask(`/api/v1/offenders?limit=1000&${query}`)).json()) as {
      items: {
        id: string;
        severity: string;
        last_v1: string | null;
        calls_v1: number;
        hosts_freed: number;
      }[];
    };
    return items;
  };
  assert.ok((await ids('')).every(({ severity }) => severity !== 'none'));
  assert.equal((await ids('')).length, 25);
  assert.deepEqual(
    new Set((await ids('severity=none&severity=v1')).map(({ severity }) => severity)),
    new Set(['none', 'v1']),
  );
  assert.equal((await ids('text=OPT/APP/28')).length, 1);
  assert.equal((await ids('unit=app-2.service')).length, 1);
  assert.ok((await ids('user=1000')).length > 5);
  assert.equal((await ids('client=Boto3')).length, 25);
  assert.equal((await ids('client=other')).length, 0);
  const byCalls = (await ids('sort=-calls_v1')).map(({ calls_v1 }) => calls_v1);
  assert.deepEqual(
    byCalls,
    byCalls.toSorted((a, b) => b - a),
  );
  const ranks = (await ids('sort=priority')).map(({ severity, hosts_freed }) => [
    severity === 'credentials' ? 0 : 1,
    -hosts_freed,
  ]);
  assert.deepEqual(
    ranks,
    ranks.toSorted(([a, b], [c, d]) => a! - c! || b! - d!),
  );
  assert.equal((await ids('sort=last_v1')).at(-1)!.last_v1, null);
  assert.equal((await ids('sort=-last_v1')).at(-1)!.last_v1, null);
});

test('offenders: filtered and sorted by their triage, which exports have in columns of its own', async () => {
  const offenders = [
    makeOffender(0, { title: 'a', triage: { ...NO_TRIAGE, state: 'fixed', owner: 'Web' } }),
    makeOffender(1, {
      title: 'b',
      triage: { ...NO_TRIAGE, owner: 'db', ticket: 'https://t.example.com/OPS-7' },
    }),
    makeOffender(2, { title: 'c', triage: { ...NO_TRIAGE, state: 'in_progress', notes: '=cmd()' } }),
  ];
  const triaged = await startApi();
  const { insight } = triaged.parts.views.of(null);
  insight.fresh.offenders = async () => offenders;
  insight.offenders = async () => offenders;
  const titles = async (query: string) => {
    const answer = await triaged.ask(`/api/v1/offenders?${query}`);
    return ((await answer.json()) as { items: { title: string }[] }).items.map(({ title }) => title).join('');
  };
  assert.equal(await titles('state=open&state=fixed&sort=title'), 'ab');
  assert.equal(await titles('owner=db'), 'b');
  assert.equal(await titles('owner='), 'c');
  assert.equal(await titles('text=ops-7'), 'b');
  assert.equal(await titles('sort=state'), 'bca');
  assert.equal(await titles('sort=owner'), 'bac', 'without an owner last');
  await problemOf(await triaged.ask('/api/v1/offenders?state=done'), 400);
  const csv = await (await triaged.ask('/api/v1/offenders?format=csv')).text();
  assert.match(csv, /triage\.state,triage\.ended,.*triage\.owner,.*triage\.ticket,triage\.notes/);
  assert.match(csv, /,fixed,.*,Web,/);
  assert.ok(!/[,"]=cmd/.test(csv), 'notes are no formula');
  await triaged.end();
});

test('pages: complete, each item once, in one order; a cursor is valid for its own query only', async () => {
  const all: string[] = [];
  let cursor: string | null = null;
  let pages = 0;
  do {
    const query: string = `/api/v1/hosts?limit=7&sort=name${cursor === null ? '' : `&cursor=${cursor}`}`;
    const page = (await (await api.ask(query)).json()) as { items: { id: string }[]; next: string | null };
    all.push(...page.items.map(({ id }) => id));
    cursor = page.next;
    pages += 1;
  } while (cursor !== null);
  assert.equal(pages, 4);
  assert.equal(new Set(all).size, 25);
  const { items } = (await (await api.ask('/api/v1/hosts?limit=1000&sort=name')).json()) as {
    items: { id: string }[];
  };
  assert.deepEqual(
    all,
    items.map(({ id }) => id),
  );

  const first = (await (await api.ask('/api/v1/calls?limit=1000&version=1')).json()) as { next: string };
  await problemOf(await api.ask(`/api/v1/calls?limit=1000&version=2&cursor=${first.next}`), 400);
  await problemOf(await api.ask('/api/v1/calls?cursor=nonsense'), 400);
  const second = await api.ask(`/api/v1/calls?limit=1000&version=1&cursor=${first.next}`);
  assert.equal(second.status, 200);
  const asks = api.asked.filter(([method]) => method === 'calls');
  assert.deepEqual(asks.at(-1)!.slice(2), [1000, '1000']);
  assert.deepEqual(asks.at(-1)![1], asks.at(-2)![1], 'the window stays');
});

test('a list that changes between pages continues after the last item', async () => {
  const hosts = Array.from({ length: 10 }, (_, number) => makeHost(number));
  const { insight } = api.parts.views.of(null);
  const { hostPage: before } = insight;
  insight.hostPage = async (_question, selection, page) => pageOfMade(hosts, selection, page);
  try {
    const first = (await (await api.ask('/api/v1/hosts?limit=4&sort=calls_v1')).json()) as { next: string };
    hosts.splice(1, 1);
    hosts.push(makeHost(50));
    const rest = (await (
      await api.ask(`/api/v1/hosts?limit=100&sort=calls_v1&cursor=${first.next}`)
    ).json()) as {
      items: { id: string }[];
    };
    assert.deepEqual(
      rest.items.map(({ id }) => id),
      [4, 5, 6, 7, 8, 9, 50].map((number) => makeHost(number).id),
    );
  } finally {
    insight.hostPage = before;
  }
});

test('reconciliation: all hosts, or pages where a limit asks for them', async () => {
  const idsOf = async (query: string) => {
    const answer = await api.ask(`/api/v1/reconciliation?${query}`);
    const { items, next } = (await answer.json()) as { items: { id: string }[]; next: string | null };
    return { ids: items.map(({ id }) => id), next };
  };
  const all = await idsOf('');
  assert.deepEqual([all.ids.length, all.next], [25, null]);
  const paged: string[] = [];
  for (let cursor = ''; ; ) {
    const { ids, next } = await idsOf(`limit=10${cursor}`);
    paged.push(...ids);
    if (next === null) break;
    cursor = `&cursor=${next}`;
  }
  assert.deepEqual(paged, all.ids);
});
