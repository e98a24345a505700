/**
 * The same data in an embedded store and in PostgreSQL, with a real collector on each. The data has been copied by
 * `store copy`. The database sorts text by the rules of a language, as most databases do, and the embedded store by bytes.
 *
 * One rule keeps time out of the answers: the clock stands still, at `NOW_MS`, in both collectors and in the commands.
 * Both collectors listen on the same port, one after the other, so that the answers also have the same address in them.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mock } from 'node:test';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { Leases } from '../../../../collector/admin/leases.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { Collector } from '../../../../collector/main.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { Store, StoredBatch } from '../../../../collector/store/store.ts';
import { copyStore } from '../../../../collector/transfer/copy_store.ts';
import { planReport, stepReport } from '../../enforce/reports.ts';
import type { PostgresServer } from '../../postgres.ts';
import { fillAdmin, hashOf } from '../admin/filled_admin.ts';
import type { Bench } from '../in_process.ts';
import { eventually } from '../stored.ts';
import { fillStore } from '../transfer/filled_store.ts';
import { fillTies } from './ties.ts';

export const NOW_MS = Date.UTC(2026, 10, 20, 12, 34);
/** Tokens of admins. The API limits the questions of each one. */
export const TOKENS = Array.from({ length: 8 }, (_, number) => `imdsw_p${String(number).repeat(43)}`);

/** One of the two stores, with a collector on it. */
export interface Side {
  collector: Collector;
  /** Settings of commands that read the store itself. */
  storeArgs: readonly string[];
}

export class BothStores {
  readonly #bench: Bench;
  readonly #embedded: Record<string, unknown>;
  readonly #shared: Record<string, unknown>;

  private constructor(bench: Bench, embedded: Record<string, unknown>, shared: Record<string, unknown>) {
    this.#bench = bench;
    this.#embedded = embedded;
    this.#shared = shared;
  }

  /** Fills an embedded store, lets a collector judge it once, and copies it. `bench` ends it. */
  static async open(bench: Bench, server: PostgresServer): Promise<BothStores> {
    const dataDir = bench.directory();
    const store = openStore(dataDir);
    await fillStore(withoutZeroBytes(store), NOW_MS * 1000);
    await fillTies(store, NOW_MS * 1000);
    await store.close();
    await fillAdminData(dataDir);
    mock.timers.enable({ apis: ['Date'], now: NOW_MS });
    bench.atEnd(() => mock.timers.reset());
    // The server has another clock, by which the collector on it would have no lease.
    const clocks = mock.method(Leases.prototype, 'clockAheadMs', async () => null);
    bench.atEnd(() => clocks.mock.restore());
    await judgeOnce(bench, dataDir);
    const database = await server.createDatabase('ICU_LOCALE "en-US" LOCALE_PROVIDER icu LOCALE "C"');
    const never = new AbortController().signal;
    await copyStore({ dataDir }, { database }, { onReport: () => {}, signal: never });
    return new BothStores(bench, { data_dir: dataDir }, { data_dir: bench.directory(), store: database });
  }

  /** Asks a collector on each store the same, one after the other. */
  async ask<T>(questions: (side: Side) => Promise<T>): Promise<{ embedded: T; shared: T }> {
    const first = await this.#start(this.#embedded, 0);
    const embedded = await questions(first);
    await first.collector.stop();
    const second = await this.#start(this.#shared, first.collector.address.port);
    const shared = await questions(second);
    await second.collector.stop();
    return { embedded, shared };
  }

  async #start(place: Record<string, unknown>, port: number): Promise<Side> {
    const collector = await this.#bench.collector({ ...place, listen: `127.0.0.1:${port}` });
    // Another collector would be free to judge again at any time.
    await hasJudged(collector);
    const file = join(this.#bench.directory(), 'collector.yaml');
    writeFileSync(file, JSON.stringify(place));
    return { collector, storeArgs: ['--config', file] };
  }
}

async function hasJudged(collector: Collector): Promise<void> {
  await eventually('the collector has judged', () => {
    const { alerts, plan_alerts: plans } = collector.counters();
    return (alerts?.['evaluations'] ?? 0) > 0 && (plans?.['evaluations'] ?? 0) > 0;
  });
}

/** Returns a store that gets U+FFFD for each U+0000: PostgreSQL does that, and it is the one thing that may differ. */
function withoutZeroBytes(store: Store): Store {
  const replaced = (batches: readonly StoredBatch[]): StoredBatch[] =>
    JSON.parse(JSON.stringify(batches).replaceAll('\\u0000', '\ufffd'));
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'write') return (batches: readonly StoredBatch[]) => target.write(replaced(batches));
      const value = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** Lets a collector raise the alerts of the data, so that both stores have the same, and triages some workloads. */
async function judgeOnce(bench: Bench, dataDir: string): Promise<void> {
  const collector = await bench.collector({ data_dir: dataDir });
  const headers = { authorization: `Bearer ${TOKENS[0]}`, 'content-type': 'application/json' };
  const at = (path: string) => `${collector.pageUrl}/api/v1${path}`;
  await hasJudged(collector);
  await eventually('the alerts about plans are stored', async () => {
    const { items } = (await (await fetch(at('/alerts?limit=1000'), { headers })).json()) as {
      items: { rule: string }[];
    };
    return ['plan_ended', 'plan_held'].every((rule) => items.some((alert) => alert.rule === rule));
  });
  const { items } = (await (await fetch(at('/offenders'), { headers })).json()) as {
    items: { id: string }[];
  };
  const changes = [
    { state: 'in_progress', owner: 'Zoë', ticket: 'https://tickets.example/1' },
    { state: 'exception', until: '2027-01-31T00:00:00Z', reason: 'a vendor' },
    { owner: 'ada', notes: 'waits' },
  ];
  for (const [place, change] of changes.entries()) {
    const path = at(`/offenders/${items[place]!.id}/triage`);
    const { status } = await fetch(path, { method: 'PATCH', headers, body: JSON.stringify(change) });
    if (status !== 200) throw new Error(`${path} answered ${status}`);
  }
  await collector.stop();
}

async function fillAdminData(dataDir: string): Promise<void> {
  const database = openAdmin(dataDir);
  const admin = new SqliteAdminStore(database);
  await fillAdmin(admin);
  // A destination that is asked, and a retention that deletes, would change what is answered.
  database.exec("UPDATE alert_destinations SET enabled = 0; UPDATE tokens SET name = 'token ' || id");
  await admin.settings.put('retention', { raw_days: 3000 });
  await admin.transaction('access', async ({ tokens }) => {
    for (const [number, secret] of TOKENS.entries()) {
      await tokens.insert({
        ...{
          id: `admin-${number}`,
          hash: hashOf(secret),
          kind: 'person',
          role: 'admin',
          hostId: null,
          scope: null,
        },
        ...{ name: `admin ${number}`, createdMs: NOW_MS - 1, createdBy: 'ada', expiresMs: null },
        ...{ lastUsedMs: NOW_MS, revokedMs: null, enrolmentKeyHash: null, enrolled: 0 },
      });
    }
  });
  const since = '2026-11-20T12:05:00.000Z';
  const group = (number: number) => ['asg:b', 'asg:B', 'asg:a-1', 'asg:a_1', 'asg:ä'][number % 5]!;
  const states = ['confirmed', 'soaking', 'skipped', 'planned'] as const;
  const steps = Array.from({ length: 13 }, (_, at) =>
    stepReport(at + 1, { group: group(at), state: states[at % states.length]!, since }),
  );
  await admin.plans.report('p-ba9876543210', planReport(steps), 'command:ada', NOW_MS);
  const ended = planReport(steps, { phase: 'ended', is_carried_out: false });
  for (const id of ['p-aaaaaaaaaaaa', 'p-bbbbbbbbbbbb'])
    await admin.plans.report(id, ended, 'command:ada', NOW_MS);
  database.close();
}
