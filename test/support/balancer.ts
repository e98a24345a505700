/** Runs HAProxy with the settings that are shipped, in front of three collectors, and of PostgreSQL servers, on loopback. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { eventually } from './collector/stored.ts';
import { freePort } from './free_port.ts';

const PROGRAM = '/usr/sbin/haproxy';
const SETTINGS = join(import.meta.dirname, '../../docker/ha/haproxy.cfg');
const START_MS = 60_000;
const LOOK_EVERY_MS = 100;
const NUMBERS = [1, 2, 3];
/** HAProxy wants three addresses of databases, also where the collectors do not connect through it. */
const NOBODY = { port: 1, apiPort: 1 };
/** Length of what HAProxy wrote that is kept for an error. */
const SAID_CHARACTERS = 10_000;

/** False, or the reason why there is no HAProxy. */
export const NO_HAPROXY = spawnSync(PROGRAM, ['-v']).status !== 0 && `there is no ${PROGRAM}`;

/** Ports of a PostgreSQL server and of its Patroni. */
export interface DatabasePlace {
  port: number;
  apiPort: number;
}

export interface BalancerOptions {
  /** Ports of the collectors, at most three. */
  collectors: readonly number[];
  databases?: readonly DatabasePlace[];
  /** Connections at most. Each takes two descriptors, and a process may have 20,000 on some machines. */
  connections: number;
  /** Certificate with its key, and the authority of the collectors' certificates (PEM files); null without TLS. */
  tls?: { certificate: string; authority: string; name: string } | null;
}

export class Balancer {
  /** Ports of the collectors, and of the primary of the database. */
  readonly port: number;
  readonly databasePort: number;
  readonly #metricsPort: number;
  readonly #connections: number;
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess | null = null;

  private constructor(ports: readonly [number, number, number], options: BalancerOptions) {
    [this.port, this.databasePort, this.#metricsPort] = ports;
    this.#connections = options.connections;
    const { tls = null, databases = [], collectors } = options;
    this.#environment = {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      COLLECTOR_BIND: `127.0.0.1:${this.port}`,
      COLLECTOR_BIND_OPTIONS: tls === null ? '' : `ssl crt ${tls.certificate} alpn http/1.1`,
      COLLECTOR_OPTIONS:
        tls === null ? '' : `ssl verify required ca-file ${tls.authority} verifyhost ${tls.name}`,
      METRICS_BIND: `127.0.0.1:${this.#metricsPort}`,
      DATABASE_BIND: `127.0.0.1:${this.databasePort}`,
      PATRONI_OPTIONS: '',
      ...Object.fromEntries(
        collectors.map((collector, at) => [`COLLECTOR_${at + 1}`, `127.0.0.1:${collector}`]),
      ),
      ...Object.fromEntries(
        NUMBERS.flatMap((number) => {
          const { port, apiPort } = databases[number - 1] ?? NOBODY;
          return [
            [`POSTGRES_${number}`, `127.0.0.1:${port}`],
            [`PATRONI_PORT_${number}`, String(apiPort)],
          ];
        }),
      ),
    };
  }

  /** Resolves when it listens. Collectors and databases may be started later. */
  static async start(options: BalancerOptions): Promise<Balancer> {
    const balancer = new Balancer([await freePort(), await freePort(), await freePort()], options);
    await balancer.startAgain();
    return balancer;
  }

  /** Starts it after `kill`. Resolves when it listens. */
  async startAgain(): Promise<void> {
    // It ends with this process, also when this one is killed (setpriv(1), prctl(2) PR_SET_PDEATHSIG).
    const argv = ['--pdeathsig=KILL', '--', PROGRAM, '-db', '-n', String(this.#connections), '-f', SETTINGS];
    const child = spawn('setpriv', argv, { env: this.#environment, stdio: ['ignore', 'ignore', 'pipe'] });
    this.#child = child;
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      said = (said + chunk).slice(-SAID_CHARACTERS);
    });
    await this.#until('HAProxy listens', () => {
      if (child.exitCode !== null) throw new Error(`HAProxy ended with ${child.exitCode}: ${said}`);
      return this.#metrics().then(
        () => true,
        () => false,
      );
    });
  }

  /** Resolves when it knows a collector that is ready. */
  async untilReady(): Promise<void> {
    await this.#until('HAProxy has found a collector that is ready', async () => (await this.ready()) > 0);
  }

  async #until(what: string, look: () => Promise<boolean>): Promise<void> {
    await eventually(what, look, START_MS, LOOK_EVERY_MS);
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get processId(): number {
    return this.#child!.pid!;
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
    return serverValues(await this.#metrics(), metric, label);
  }

  async #metrics(): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`)).text();
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

/**
 * Returns a metric of each collector's server from what HAProxy tells Prometheus; NaN where it is missing. `label`: one
 * that the line must have.
 */
export function serverValues(metrics: string, metric: string, label = ''): number[] {
  const lines = metrics.split('\n');
  return NUMBERS.map((number) => {
    const found = lines.find(
      (line) =>
        line.startsWith(`${metric}{proxy="collectors_ready",server="collector-${number}"`) &&
        line.includes(label),
    );
    return Number(found?.split(' ').at(-1) ?? Number.NaN);
  });
}
