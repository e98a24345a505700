/**
 * A fleet of which a viewer with a scope sees one host, on either store, with a collector on it. Everything of the other
 * hosts has the word "canary" in it: names, accounts, tags, owners, workloads, paths, and a destination of alerts.
 */
import assert from 'node:assert/strict';
import { Access } from '../../../../collector/access/access.ts';
import { NO_PROXY } from '../../../../collector/access/proxy_identity.ts';
import { openAdmin } from '../../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { ViewScope } from '../../../../collector/contract/host_scope.ts';
import type { Role } from '../../../../collector/contract/roles.ts';
import type { Collector } from '../../../../collector/main.ts';
import { openStore } from '../../../../collector/store/sqlite/sqlite_store.ts';
import type { StoredBatch } from '../../../../collector/store/store.ts';
import { copyStore } from '../../../../collector/transfer/copy_store.ts';
import type { HostFacts } from '../../../../protocol/call.ts';
import type { PostgresServer } from '../../postgres.ts';
import { bearer, type Headers } from '../access/visitor_bench.ts';
import { makeCall, processFacts } from '../calls.ts';
import { Bench } from '../in_process.ts';
import { HELLO, Peer } from '../peer.ts';
import { call, callerOf, report, stream } from '../store/records.ts';

const HOUR_US = 3_600_000_000;
const BY = { name: 'test', sourceAddress: null };
export const SCOPE: ViewScope = [{ accounts: ['111111111111'], tags: { team: ['mine'] } }];
export const MINE: HostFacts = {
  ...{ id: 'i-mine', name: 'mine-1', type: 'm6i.large', 'image.id': 'ami-mine' },
  ...{
    'cloud.account.id': '111111111111',
    'cloud.region': 'eu-west-1',
    'cloud.availability_zone': 'eu-west-1a',
  },
  tags: { team: 'mine', 'aws:autoscaling:groupName': 'shared-group' },
};
export const OTHER: HostFacts = {
  ...{ id: 'i-canary', name: 'canary-1', type: 'canary.large', 'image.id': 'ami-canary' },
  ...{
    'cloud.account.id': 'canary-account',
    'cloud.region': 'canary-region',
    'cloud.availability_zone': 'canary-zone',
  },
  tags: { team: 'canary-team', 'canary-key': 'x', 'aws:autoscaling:groupName': 'shared-group' },
};
/** The host has the account of the scope, and a tag of another team. */
export const NEXT: HostFacts = {
  ...OTHER,
  id: 'i-canary-2',
  name: 'canary-2',
  'cloud.account.id': '111111111111',
};

const program = (name: string) =>
  callerOf(
    makeCall({
      process: processFacts({
        'executable.path': `/opt/${name}`,
        name,
        command_args: [`/opt/${name}`, '-x'],
      }),
      systemd: { unit: `${name}.service`, slice: 'system.slice' },
    }),
  );
export const CANARY_CALL = {
  'url.path': '/latest/meta-data/iam/security-credentials/canary-role',
  'imds.category': 'credentials' as const,
  'imds.role': 'canary-role',
  'user_agent.original': 'canary-agent/1',
};

/** Writes an hour of each host. Both hosts run the workload `shared`. */
function batches(nowUs: number): StoredBatch[] {
  return [MINE, OTHER, NEXT].map((host) => {
    const isMine = host === MINE;
    const next = stream(host, [program('shared'), program(isMine ? 'own' : 'canary-app')]);
    const changes = isMine ? {} : CANARY_CALL;
    return next(
      report(host.id, nowUs - HOUR_US, nowUs - HOUR_US / 60),
      ...[0, 1].flatMap((caller) =>
        Array.from({ length: isMine ? 3 : 50 }, (_, at) =>
          call(nowUs - HOUR_US + at * 1000, changes, caller),
        ),
      ),
    );
  });
}

/** Owners of workloads come from the tag of their hosts. */
const SETTINGS = { owner_rules: ['tag:team'] };

export class ScopeBench {
  readonly #bench = new Bench();
  readonly #settings: Record<string, unknown>;
  readonly collector: Collector;
  readonly scoped: Headers;
  readonly fleet: Headers;

  private constructor(
    bench: Bench,
    settings: Record<string, unknown>,
    collector: Collector,
    tokens: Record<'scoped' | 'fleet', string>,
  ) {
    this.#bench = bench;
    this.#settings = settings;
    this.collector = collector;
    this.scoped = bearer(tokens.scoped);
    this.fleet = bearer(tokens.fleet);
  }

  /** `server`: for a database of its own there; null for the embedded store. */
  static async open(server: PostgresServer | null): Promise<ScopeBench> {
    const bench = new Bench();
    const dataDir = bench.directory();
    const nowUs = Date.now() * 1000;
    const store = openStore(dataDir);
    await store.write(batches(nowUs));
    const hour = Math.floor(nowUs / HOUR_US) * HOUR_US;
    await store.putCloudCounts(
      [MINE, OTHER, NEXT].map(({ id: hostId }) => ({
        ...{ hostId, startUs: hour - 2 * HOUR_US, endUs: hour - HOUR_US, noToken: 99, noTokenRejected: null },
      })),
    );
    await store.close();
    const tokens = await fillAdmin(dataDir);
    let settings: Record<string, unknown> = { ...SETTINGS, data_dir: dataDir };
    if (server !== null) {
      const database = await server.createDatabase();
      const signal = new AbortController().signal;
      await copyStore({ dataDir }, { database }, { onReport: () => {}, signal });
      settings = { ...SETTINGS, data_dir: bench.directory(), store: database };
    }
    const opened = new ScopeBench(bench, settings, await bench.collector(settings), tokens);
    await opened.#triage(bearer(tokens.admin));
    return opened;
  }

  /** Starts another collector. On the embedded store there is one only. */
  async another(): Promise<Collector> {
    return 'store' in this.#settings ? this.#bench.collector(this.#settings) : this.collector;
  }

  end(): Promise<void> {
    return this.#bench.end();
  }

  ask(method: string, path: string, headers: Headers, body?: unknown): Promise<Response> {
    return fetch(`${this.collector.pageUrl}${path}`, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      redirect: 'manual',
    });
  }

  async json(path: string, headers: Headers): Promise<unknown> {
    return (await this.ask('GET', path, headers)).json();
  }

  /** Connects as the agent of a host, sends calls, and resolves when they are stored. */
  async report(host: HostFacts, changes: object): Promise<void> {
    const peer = await new Peer(this.#bench, this.collector.address.url).hello({ ...HELLO, host });
    await peer.next('welcome');
    peer.send({ type: 'batch', seq: 1, records: [{ kind: 'call', call: makeCall({ host, ...changes }) }] });
    await peer.next('ack');
  }

  /** Lets an admin name an owner of each workload that the scope does not show, and make a destination. */
  async #triage(admin: Headers): Promise<void> {
    const { items } = (await this.json('/api/v1/offenders', this.fleet)) as {
      items: { id: string; title: string }[];
    };
    const hidden = items.filter(({ title }) => title.includes('canary'));
    assert.ok(hidden.length > 0);
    for (const { id } of hidden) {
      const triage = { owner: 'canary-owner', notes: 'canary-notes' };
      const answer = await this.ask('PATCH', `/api/v1/offenders/${id}/triage`, admin, triage);
      assert.equal(answer.status, 200);
    }
    // Nothing listens there.
    const values = { url: 'https://127.0.0.1:9/canary-path', secret: 'a-secret-of-the-webhook' };
    const config = { kind: 'http', values };
    const destination = { name: 'canary-destination', rules: ['host_silent'], config };
    const answer = await this.ask('POST', '/api/v1/alert/destinations', admin, destination);
    assert.equal(answer.status, 201, await answer.text());
  }
}

async function fillAdmin(dataDir: string): Promise<Record<'scoped' | 'fleet' | 'admin', string>> {
  const log = new Bench().log;
  const admin = openAdmin(dataDir);
  const options = { agentToken: null, agentTokenHost: null, proxy: NO_PROXY, secure: false, publicUrl: null };
  const access = await Access.open(new SqliteAdminStore(admin), options, log);
  const person = async (role: Role, scope?: ViewScope) => {
    const made = { kind: 'person', name: 'x', role, ...(scope && { scope }) } as const;
    return (await access.createToken(made, BY)).secret;
  };
  const tokens = {
    scoped: await person('viewer', SCOPE),
    fleet: await person('viewer'),
    admin: await person('admin'),
  };
  await access.close();
  admin.close();
  return tokens;
}
