/** A real collector: plans that a command reports, calls that a real agent sends, and the alerts and events that follow. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pino } from 'pino';
import type { Alert } from '../../../../collector/contract/alert.ts';
import { storePlanReport, withAdmin } from '../../../../collector/local.ts';
import type { Collector } from '../../../../collector/main.ts';
import type { PlanReport, PlanStepReport } from '../../../../protocol/plan_report.ts';
import { HOST, makeCall } from '../../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../../support/collector/in_process.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { PLACE } from '../../../support/enforce/plans.ts';
import { PLAN_ID, planReport, stepReport } from '../../../support/enforce/reports.ts';

const bench = new Bench();
after(() => bench.end());

const MINUTE_MS = 60_000;
const ago = (minutes: number) => new Date(Date.now() - minutes * MINUTE_MS).toISOString();
const TARGET = { type: 'instance' as const, ...PLACE, id: HOST.id, name: HOST.name };
const onHost = (given: Partial<PlanStepReport>) => stepReport(1, { target: TARGET, ...given });

class Watched {
  readonly dataDir: string;
  collector!: Collector;
  token = '';

  constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  async start(): Promise<this> {
    this.collector = await bench.collector({ data_dir: this.dataDir });
    const by = { name: 'test', sourceAddress: null };
    this.token = await withAdmin(
      { data_dir: this.dataDir },
      pino({ level: 'silent' }),
      async ({ access }) =>
        (await access.createToken({ kind: 'person', name: `ada-${Math.random()}`, role: 'viewer' }, by))
          .secret,
    );
    return this;
  }

  /** Reports as `imdswatch enforce` does on the collector's machine, from a connection of its own. */
  async report(steps: PlanStepReport[], given: Partial<PlanReport> = {}): Promise<void> {
    await storePlanReport({ data_dir: this.dataDir }, PLAN_ID, planReport(steps, given), 'command:root');
  }

  ask(path: string): Promise<Response> {
    return fetch(`${this.collector.pageUrl}${path}`, { headers: { Authorization: `Bearer ${this.token}` } });
  }

  /** Alerts of the rules about plans, oldest first. */
  async told(): Promise<string[]> {
    const { items } = (await (await this.ask('/api/v1/alerts')).json()) as { items: Alert[] };
    return items
      .filter(({ rule }) => rule === 'enforcement_undone' || rule.startsWith('plan_'))
      .map(({ rule, severity, subject, state }) =>
        [...(state === 'resolved' ? ['over:'] : []), rule, severity, subject].join(' '),
      )
      .reverse();
  }

  async until(...expected: string[]): Promise<void> {
    let last: string[] = [];
    await eventually(expected.join(), async () => {
      last = await this.told();
      return last.length >= expected.length;
    });
    assert.deepEqual(last, expected);
  }
}

test('a confirmed host whose call without a token is answered raises the alert at once, once', async () => {
  const watched = await new Watched(bench.directory()).start();
  const outbox = bench.outbox(watched.collector.address.url);
  let sent = 0;
  const call = async (changes: Parameters<typeof makeCall>[0]) => {
    outbox.call(makeCall(changes));
    sent += 1;
    await eventually('acknowledged', () => acknowledged(outbox) >= sent);
  };
  const confirmed = { state: 'confirmed' as const, since: ago(5) };
  const time = (minutes: number) => ago(minutes).replace('Z', '000Z');
  // Nobody has confirmed anything yet, and this call was before the confirmation.
  await call({ time: time(10), 'http.response.status_code': 200 });
  await watched.report([onHost(confirmed)]);
  await eventually(
    'the confirmed host',
    () => watched.collector.counters()['plan_alerts']!['confirmed_hosts'] === 1,
  );
  // A call with a token, one that is refused, and one that looks for another cloud undo nothing.
  await call({ time: time(4), 'imds.version': 2, 'http.response.status_code': 200 });
  await call({ time: time(4), 'http.response.status_code': 401 });
  await call({ time: time(4), 'imds.category': 'other-cloud', 'http.response.status_code': 200 });
  assert.deepEqual(await watched.told(), []);

  const undone = `enforcement_undone critical ${HOST.id}`;
  await call({ time: time(3), 'http.response.status_code': 200 });
  await watched.until(undone);
  const { items } = (await (await watched.ask('/api/v1/alerts?limit=50')).json()) as { items: Alert[] };
  const alert = items.find(({ rule }) => rule === 'enforcement_undone')!;
  assert.deepEqual(alert.hosts, [{ id: HOST.id, name: HOST.name }]);
  assert.deepEqual(
    [alert.object?.name, alert.object?.account],
    [HOST.name, HOST['cloud.account.id'] ?? null],
  );
  assert.match(
    alert.text,
    new RegExp(`${PLAN_ID} required tokens on ${HOST.id}.*\\/usr\\/bin\\/curl called without a token`),
  );
  await call({ time: time(2), 'http.response.status_code': 200 });

  // Tokens are required again: a call without one is refused.
  await call({ time: time(1), 'http.response.status_code': 401 });
  await watched.until(undone, `over: ${undone}`);
  await outbox.stop(0);
});

test('calls that were stored before the confirmation was known are asked for, also after a start', async () => {
  const dataDir = bench.directory();
  const first = await new Watched(dataDir).start();
  const outbox = bench.outbox(first.collector.address.url);
  outbox.call(makeCall({ 'http.response.status_code': 200 }));
  await eventually('acknowledged', () => acknowledged(outbox) === 1);
  await outbox.stop(0);
  await first.collector.stop();
  await first.report([onHost({ state: 'confirmed', since: ago(5) })]);
  const second = await new Watched(dataDir).start();
  await second.until(`enforcement_undone critical ${HOST.id}`);
});

test('a plan that rolls back, holds a step and ends is told, and watchers of plans see each report', async () => {
  const watched = await new Watched(bench.directory()).start();
  const abort = new AbortController();
  bench.atEnd(() => abort.abort());
  const feed = await fetch(`${watched.collector.pageUrl}/api/v1/live?topic=plans`, {
    headers: { Authorization: `Bearer ${watched.token}` },
    signal: abort.signal,
  });
  let text = '';
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of feed.body!) text += decoder.decode(chunk);
  })().catch(() => {});

  await watched.report([onHost({ state: 'soaking', since: ago(5) }), stepReport(2)]);
  await eventually('the report in the feed', () =>
    text.includes(`data: {"id":"${PLAN_ID}","phase":"running"`),
  );
  const refusal = { host: HOST.id, caller_id: 'ab', caller: '/opt/old', at: ago(1) };
  const rolling = onHost({ state: 'rolling_back', since: ago(1), refusal });
  const held = stepReport(2, { state: 'held', since: ago(1), refusal });
  // The second part of a report is waited for, so that one alert has all of it.
  await watched.report([rolling], { step_count: 2, sequence: 2, phase: 'paused', has_more: true });
  await eventually('the first part in the feed', () => text.includes('"phase":"paused"'));
  assert.deepEqual(await watched.told(), []);
  await watched.report([held], { step_count: 2, sequence: 2, phase: 'paused' });
  const told = [`plan_rolled_back critical ${PLAN_ID}`, `plan_held warning ${PLAN_ID}`];
  await watched.until(...told);
  const ended = { step_count: 2, sequence: 3, phase: 'ended' as const, phase_since: ago(0) };
  await watched.report([{ ...rolling, state: 'rolled_back', since: ago(0) }], ended);
  await watched.until(...told, `plan_ended warning ${PLAN_ID}`);
  assert.match(text, /"phase":"ended"/);
  abort.abort();
});
