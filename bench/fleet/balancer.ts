/** Runs HAProxy with the settings that are shipped, in front of collectors on loopback. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { processUsage, type Usage } from '../collector/process_usage.ts';

const PROGRAM = '/usr/sbin/haproxy';
const SETTINGS = join(import.meta.dirname, '../../docker/ha/haproxy.cfg');
const START_MS = 30_000;
/** Each connection takes two descriptors, and an unprivileged process may have 20,000 on some machines. */
const MAX_CONNECTIONS = 9_500;

/** False, or the reason why there is no HAProxy. */
export const NO_HAPROXY = spawnSync(PROGRAM, ['-v']).status !== 0 && `there is no ${PROGRAM}`;

export interface BalancerOptions {
  /** `127.0.0.1:PORT` of each of three collectors. */
  collectors: readonly string[];
  /** Certificate with its key, and the authority of the collectors' certificates (PEM files); null without TLS. */
  tls: { certificate: string; authority: string; name: string } | null;
}

export class Balancer {
  readonly port: number;
  readonly #metricsPort: number;
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess | null = null;

  private constructor(port: number, metricsPort: number, environment: NodeJS.ProcessEnv) {
    this.port = port;
    this.#metricsPort = metricsPort;
    this.#environment = environment;
  }

  static async start({ collectors, tls }: BalancerOptions): Promise<Balancer> {
    const [port, database, metrics] = [await freePort(), await freePort(), await freePort()];
    const [first, second, third] = collectors;
    const bind = tls === null ? '' : `ssl crt ${tls.certificate} alpn http/1.1`;
    const verify = tls === null ? '' : `ssl verify required ca-file ${tls.authority} verifyhost ${tls.name}`;
    const balancer = new Balancer(port, metrics, {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      COLLECTOR_BIND: `127.0.0.1:${port}`,
      COLLECTOR_BIND_OPTIONS: bind,
      COLLECTOR_1: first,
      COLLECTOR_2: second,
      COLLECTOR_3: third,
      COLLECTOR_OPTIONS: verify,
      METRICS_BIND: `127.0.0.1:${metrics}`,
      // Collectors have the database's own address here.
      DATABASE_BIND: `127.0.0.1:${database}`,
      POSTGRES_1: '127.0.0.1:1',
      POSTGRES_2: '127.0.0.1:1',
      POSTGRES_3: '127.0.0.1:1',
      PATRONI_OPTIONS: '',
    });
    await balancer.start();
    return balancer;
  }

  /** Starts it again after `kill`. Resolves when it knows a collector that is ready. */
  async start(): Promise<void> {
    const child = spawn(PROGRAM, ['-db', '-n', String(MAX_CONNECTIONS), '-f', SETTINGS], {
      env: this.#environment,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#child = child;
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      said = (said + chunk).slice(-10_000);
    });
    const deadline = performance.now() + START_MS;
    for (;;) {
      if (child.exitCode !== null) throw new Error(`HAProxy ended with ${child.exitCode}: ${said}`);
      const ready = await this.ready().catch(() => 0);
      if (ready > 0) return;
      if (performance.now() > deadline) throw new Error(`HAProxy found no collector that is ready: ${said}`);
      await sleep(100);
    }
  }

  get processId(): number {
    return this.#child!.pid!;
  }

  usage(): Usage {
    return processUsage(this.processId);
  }

  /** Returns the number of collectors that get new agents. */
  async ready(): Promise<number> {
    const servers = await this.#servers('haproxy_server_status', 'state="UP"');
    return servers.filter((value) => value === 1).length;
  }

  /** Returns the agents' connections to each collector. */
  connections(): Promise<number[]> {
    return this.#servers('haproxy_server_current_sessions');
  }

  async #servers(metric: string, label = ''): Promise<number[]> {
    const response = await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`);
    const lines = (await response.text()).split('\n');
    return [1, 2, 3].map((number) => {
      const found = lines.find(
        (line) =>
          line.startsWith(`${metric}{proxy="collectors_ready",server="collector-${number}"`) &&
          line.includes(label),
      );
      return Number(found?.split(' ').at(-1) ?? Number.NaN);
    });
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}
