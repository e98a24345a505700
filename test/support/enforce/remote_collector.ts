/** A collector over TLS on loopback whose hosts were watched, for commands that ask it from another machine. */
import { join } from 'node:path';
import { openAdmin } from '../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../collector/admin/sqlite/sqlite_admin_store.ts';
import type { AuditEntry } from '../../../collector/contract/administration.ts';
import { DAY_US } from '../../../collector/contract/window.ts';
import { type Actor, withAdmin } from '../../../collector/local.ts';
import type { Collector } from '../../../collector/main.ts';
import { heardHost } from '../../../collector/store/packed_heartbeat.ts';
import { toTimestamp } from '../../../collector/store/time.ts';
import type { Call } from '../../../protocol/call.ts';
import { makeCall, processFacts } from '../collector/calls.ts';
import { Bench } from '../collector/in_process.ts';
import { heartbeatOf, newFindings, watched } from '../collector/insight/findings.ts';
import { freePort } from '../free_port.ts';
import { ACCOUNT, REGION } from './lab_cloud.ts';
import { instanceId } from './plans.ts';

const WINDOW_DAYS = 2;
/** Hosts count as watched for this long after the start, so that soaks go on while commands run. */
const AHEAD_US = 240e6;

export class RemoteCollector {
  readonly bench = new Bench();
  readonly dataDir: string;
  readonly #settings: Record<string, unknown>;
  readonly #port: number;
  #collector: Collector | null = null;
  readonly tokens: Record<'viewer' | 'admin', string> = { viewer: '', admin: '' };

  private constructor(dataDir: string, port: number) {
    this.dataDir = dataDir;
    this.#port = port;
    this.#settings = {
      data_dir: dataDir,
      listen: `127.0.0.1:${port}`,
      tls_self_signed: true,
      readiness_window_days: WINDOW_DAYS,
    };
  }

  /** `hosts`: the Auto Scaling group of each, by its number. All were watched, and made one call with a token. */
  static async start(hosts: Readonly<Record<number, string>>): Promise<RemoteCollector> {
    const bench = new Bench();
    const { dataDir, store, put } = newFindings(bench);
    const startUs = Date.now() * 1000;
    const ago = (us: number) => toTimestamp(startUs - us);
    for (const [number, group] of Object.entries(hosts)) {
      const id = instanceId(Number(number));
      const call = makeCall({
        host: factsOf(Number(number), group),
        time: ago(DAY_US),
        'imds.version': 2,
        'imds.server_version': 2,
        process: processFacts({ script: '/opt/poll.py' }),
      });
      await put(call, watched(id, ago(3 * DAY_US), ago(-AHEAD_US)));
      await store.heartbeats([heardHost(heartbeatOf(id, startUs), startUs)]);
    }
    await store.close();
    const made = new RemoteCollector(dataDir, await freePort());
    made.bench.atEnd(() => bench.end());
    await made.begin();
    await withAdmin(
      { data_dir: dataDir },
      bench.log,
      async ({ access, actor }: { access: TokenMaker; actor: Actor }) => {
        for (const role of ['viewer', 'admin'] as const) {
          const created = await access.createToken({ kind: 'person', name: role, role }, actor);
          made.tokens[role] = created.secret;
        }
      },
    );
    return made;
  }

  get url(): string {
    return `https://localhost:${this.#port}`;
  }

  get caFile(): string {
    return join(this.dataDir, 'self_signed.crt');
  }

  async begin(): Promise<void> {
    this.#collector = await this.bench.collector(this.#settings);
  }

  /** Ends the collector. Its agents and commands find nobody at its address until it begins again. */
  async stop(): Promise<void> {
    await this.#collector?.stop();
    this.#collector = null;
  }

  /** Lets an agent of the host report a call, as it happens. */
  async report(number: number, group: string, call: Partial<Call>): Promise<void> {
    const host = factsOf(number, group);
    const outbox = this.bench.outbox(`wss://localhost:${this.#port}`, {
      host,
      tls: { caFile: this.caFile, certFile: null, keyFile: null },
    });
    outbox.call(makeCall({ ...call, host, time: toTimestamp(Date.now() * 1000) }));
  }

  /** Returns the audit log, newest first. */
  async audited(): Promise<AuditEntry[]> {
    const admin = openAdmin(this.dataDir);
    try {
      return await new SqliteAdminStore(admin).auditLog.newest({ limit: 1000 });
    } finally {
      admin.close();
    }
  }

  end(): Promise<void> {
    return this.bench.end();
  }
}

type TokenMaker = {
  createToken(
    request: { kind: 'person'; name: string; role: 'viewer' | 'admin' },
    actor: Actor,
  ): Promise<{ secret: string }>;
};

function factsOf(number: number, group: string) {
  return {
    id: instanceId(number),
    name: `${group}-${number}`,
    'cloud.account.id': ACCOUNT,
    'cloud.region': REGION,
    tags: { 'aws:autoscaling:groupName': group },
  };
}
