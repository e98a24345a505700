/** HAProxy with docker/ha/haproxy.cfg, in front of three collectors and of the PostgreSQL servers. */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { eventually } from '../support/collector/stored.ts';
import { freePort } from '../support/free_port.ts';
import { endTied, hasEnded, startTied } from './tied_process.ts';

const SHIPPED = join(import.meta.dirname, '../../docker/ha/haproxy.cfg');
const START_MS = 60_000;
/** Connections at most. Those of docker/ha/haproxy.cfg need more files than a machine may allow. */
const CONNECTIONS = 2_000;

/** Ports of a PostgreSQL server and of its Patroni. */
export interface DatabasePlace {
  port: number;
  apiPort: number;
}

export class Balancer {
  readonly #child: ChildProcess;
  readonly port: number;
  readonly databasePort: number;

  private constructor(child: ChildProcess, port: number, databasePort: number) {
    this.#child = child;
    this.port = port;
    this.databasePort = databasePort;
  }

  /** Resolves when it listens. Collectors and databases may be started later. */
  static async start(
    directory: string,
    collectorPorts: readonly number[],
    databases: readonly DatabasePlace[],
  ): Promise<Balancer> {
    const [port, databasePort, metricsPort] = [await freePort(), await freePort(), await freePort()];
    const env: Record<string, string> = {
      COLLECTOR_BIND: `127.0.0.1:${port}`,
      DATABASE_BIND: `127.0.0.1:${databasePort}`,
      METRICS_BIND: `127.0.0.1:${metricsPort}`,
      COLLECTOR_BIND_OPTIONS: '',
      COLLECTOR_OPTIONS: '',
      PATRONI_OPTIONS: '',
    };
    for (const [at, collector] of collectorPorts.entries()) {
      env[`COLLECTOR_${at + 1}`] = `127.0.0.1:${collector}`;
    }
    for (const [at, { port: database, apiPort }] of databases.entries()) {
      env[`POSTGRES_${at + 1}`] = `127.0.0.1:${database}`;
      env[`PATRONI_PORT_${at + 1}`] = String(apiPort);
    }
    const child = startTied(['haproxy', '-db', '-n', String(CONNECTIONS), '-f', SHIPPED], {
      log: join(directory, 'haproxy.log'),
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
    });
    const balancer = new Balancer(child, port, databasePort);
    await eventually(
      'HAProxy listens',
      async () => {
        if (hasEnded(child)) throw new Error(`HAProxy has ended. See ${directory}/haproxy.log.`);
        return (await fetch(`${balancer.url}/healthz`).catch(() => null)) !== null;
      },
      START_MS,
    );
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async close(): Promise<void> {
    await endTied(this.#child, 'SIGKILL');
  }
}
