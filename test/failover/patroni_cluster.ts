/**
 * Runs three PostgreSQL servers under Patroni, and etcd, on loopback. What the servers agree on (`bootstrap.dcs`: times,
 * synchronous replication) is that of docker/ha/patroni.yml, without TLS and with less memory.
 */
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { parse, stringify } from 'yaml';
import { eventually } from '../support/collector/stored.ts';
import { freePort } from '../support/free_port.ts';
import { PROGRAMS } from '../support/postgres.ts';
import { killFamily } from '../support/process_family.ts';
import { ownDirectory } from '../support/server_user.ts';
import { endTied, hasEnded, startTied } from './tied_process.ts';

const SHIPPED = join(import.meta.dirname, '../../docker/ha/patroni.yml');
const NODES = 3;
const START_MS = 90_000;
const FAILOVER_MS = 90_000;
const ASK_MS = 2_000;
const DATABASE = 'imdswatch';
/** Makes the server as small as the machine, and as quiet as a test. */
const SMALL = { shared_buffers: '64MB', max_wal_size: '512MB', log_min_duration_statement: -1 };

interface SharedSettings {
  postgresql: { parameters: Record<string, unknown> };
  [name: string]: unknown;
}

export interface PatroniNode {
  name: string;
  /** Ports of PostgreSQL, and of Patroni's own API. */
  port: number;
  apiPort: number;
  directory: string;
  patroni: ChildProcess | null;
}

export class PatroniCluster {
  readonly nodes: readonly PatroniNode[];
  readonly #directory: string;
  #etcd: ChildProcess | null = null;

  private constructor(directory: string, nodes: readonly PatroniNode[]) {
    this.#directory = directory;
    this.nodes = nodes;
  }

  /** `directory` must exist. It is not deleted. */
  static async start(directory: string): Promise<PatroniCluster> {
    const nodes: PatroniNode[] = [];
    for (let number = 1; number <= NODES; number += 1) {
      const name = `postgres-${number}`;
      const place = { port: await freePort(), apiPort: await freePort() };
      nodes.push({ name, ...place, directory: join(directory, name), patroni: null });
    }
    const cluster = new PatroniCluster(directory, nodes);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const etcdPort = await freePort();
    const peer = `http://127.0.0.1:${await freePort()}`;
    const client = `http://127.0.0.1:${etcdPort}`;
    this.#etcd = startTied(
      [
        ...['etcd', '--name', 'one', '--data-dir', join(this.#directory, 'etcd'), '--log-level', 'warn'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client, '--listen-peer-urls', peer],
        ...['--initial-advertise-peer-urls', peer, '--initial-cluster', `one=${peer}`],
      ],
      { log: join(this.#directory, 'etcd.log') },
    );
    for (const node of this.nodes) {
      mkdirSync(node.directory, { mode: 0o700 });
      const text = stringify(this.#settingsOf(node, etcdPort));
      writeFileSync(join(node.directory, 'patroni.yml'), text);
      this.startNode(node);
    }
    await this.untilWhole(START_MS);
    await this.query('postgres', 'CREATE ROLE imdswatch LOGIN');
    await this.query(
      'postgres',
      `CREATE DATABASE ${DATABASE} OWNER imdswatch ENCODING 'UTF8' TEMPLATE template0`,
    );
  }

  #settingsOf({ name, port, apiPort, directory }: PatroniNode, etcdPort: number): object {
    const { bootstrap } = parse(readFileSync(SHIPPED, 'utf8')) as { bootstrap: { dcs: SharedSettings } };
    const { postgresql, ...dcs } = bootstrap.dcs;
    const parameters = Object.entries(postgresql.parameters).filter(([key]) => !key.startsWith('ssl'));
    const user = (username: string) => ({ username, password: 'none' });
    return {
      scope: 'imdswatch',
      name,
      restapi: { listen: `127.0.0.1:${apiPort}`, connect_address: `127.0.0.1:${apiPort}` },
      etcd3: { hosts: `127.0.0.1:${etcdPort}` },
      bootstrap: {
        dcs: {
          ...dcs,
          postgresql: {
            ...postgresql,
            parameters: { ...Object.fromEntries(parameters), ...SMALL },
          },
        },
        initdb: [{ encoding: 'UTF8' }, { locale: 'C' }, 'data-checksums'],
      },
      postgresql: {
        listen: `127.0.0.1:${port}`,
        connect_address: `127.0.0.1:${port}`,
        data_dir: join(directory, 'data'),
        bin_dir: PROGRAMS,
        pgpass: join(directory, 'pgpass'),
        authentication: {
          superuser: user('postgres'),
          replication: user('replicator'),
          rewind: user('rewinder'),
        },
        parameters: { unix_socket_directories: directory },
        pg_hba: [
          'local all all trust',
          'host all all 127.0.0.1/32 trust',
          'host replication all 127.0.0.1/32 trust',
        ],
      },
      watchdog: { mode: 'off' },
    };
  }

  /** Starts Patroni, which starts the server and joins the cluster. */
  startNode(node: PatroniNode): void {
    node.patroni = startTied(['patroni', join(node.directory, 'patroni.yml')], {
      log: join(node.directory, 'log'),
      cwd: node.directory,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', TZ: 'UTC', HOME: node.directory },
      owner: ownDirectory(node.directory),
      signal: 'TERM',
    });
  }

  /** Ends Patroni and all processes of its server at once, as the crash of the machine does. */
  async killNode(node: PatroniNode): Promise<void> {
    if (node.patroni !== null) await endTied(node.patroni, 'SIGKILL');
    node.patroni = null;
    const pid = readFileSync(join(node.directory, 'data/postmaster.pid'), 'utf8').split('\n')[0];
    await killFamily(Number(pid));
  }

  /** Returns the primary by its own word; null where there is none. */
  async leader(): Promise<PatroniNode | null> {
    for (const node of this.nodes) {
      const answer = await fetch(`http://127.0.0.1:${node.apiPort}/primary`, {
        signal: AbortSignal.timeout(ASK_MS),
      }).catch(() => null);
      await answer?.body?.cancel();
      if (answer?.status === 200) return node;
    }
    return null;
  }

  /** Resolves with the new primary. */
  async untilOtherLeader(than: PatroniNode): Promise<PatroniNode> {
    let found: PatroniNode | null = null;
    await eventually(
      'another primary',
      async () => {
        found = await this.leader();
        return found !== null && found !== than;
      },
      FAILOVER_MS,
    );
    return found!;
  }

  /** Resolves when all servers run, and the standbys follow the primary and may confirm commits. */
  async untilWhole(withinMs = FAILOVER_MS): Promise<void> {
    await eventually(
      'all servers of the cluster',
      async () => {
        if (
          [...this.nodes.map(({ patroni }) => patroni), this.#etcd].some(
            (each) => each !== null && hasEnded(each),
          )
        ) {
          throw new Error(`A process of the cluster has ended. See the logs in ${this.#directory}.`);
        }
        const rows = await this.query(
          'postgres',
          `SELECT count(*)::integer AS streaming, count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))::integer AS sync
           FROM pg_stat_replication WHERE state = 'streaming'`,
        ).catch(() => []);
        return rows[0]?.['streaming'] === NODES - 1 && (rows[0]['sync'] as number) > 0;
      },
      withinMs,
    );
  }

  /** Address of the database for collectors: all servers, in an order that begins with one of them. */
  url(first: number): string {
    const hosts = this.nodes.map((_, at) => `127.0.0.1:${this.nodes[(first + at) % NODES]!.port}`);
    return `postgres://imdswatch@${hosts.join(',')}/${DATABASE}?sslmode=disable`;
  }

  /** Runs statements on the primary as the superuser. */
  async query(database: string, sql: string): Promise<Record<string, unknown>[]> {
    const leader = await this.leader();
    if (leader === null) throw new Error('There is no primary.');
    const client = new pg.Client({ host: leader.directory, port: leader.port, user: 'postgres', database });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query(sql)).rows as Record<string, unknown>[];
    } finally {
      await client.end();
    }
  }

  async close(): Promise<void> {
    await Promise.all(
      this.nodes.map(({ patroni }) => (patroni === null ? null : endTied(patroni, 'SIGTERM'))),
    );
    if (this.#etcd !== null) await endTied(this.#etcd, 'SIGTERM');
  }
}
