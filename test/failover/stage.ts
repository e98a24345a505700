/** Sets up collectors behind HAProxy, a fleet of agents that goes through it, and a watch on the page. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Balancer, type DatabasePlace } from '../support/balancer.ts';
import { type Account, type Api, account, type Question } from '../support/collector/fleet/account.ts';
import { Fleet } from '../support/collector/fleet/fleet.ts';
import { PageWatch } from '../support/collector/fleet/page_watch.ts';
import { TOKEN } from '../support/collector/processes.ts';
import { freePort } from '../support/free_port.ts';
import { askFor, CollectorProcess } from './collector_process.ts';

const AGENTS = 40;
const CALLS_PER_SECOND = 300;
export const COLLECTORS = 3;
const CONNECTIONS = 2_000;
/** The list of all calls is long, and by then nothing is broken any more. */
const LIST_MS = 60_000;
/** Time in which everything that waits must be acknowledged once nothing is broken any more. */
const SETTLE_MS = 120_000;

export interface StageOptions {
  /** Returns the addresses of the database, one for each collector. HAProxy has the primary on the port. */
  stores: (balancedPort: number) => readonly string[];
  databases: readonly DatabasePlace[];
  /** Runs a statement on the primary, in the collectors' database. */
  ask: Question;
  /** Keeps the directory with the logs. */
  keeps: boolean;
  /** Environment variables of the first collector, such as those of a clock of its own. */
  envOfFirst?: Record<string, string>;
}

/** The longest pauses, in milliseconds. */
export interface Pauses {
  /** Without an acknowledgement to anybody, and to one agent, while records waited. */
  ofAll: number;
  ofOne: number;
  /** Without an answer for the page. */
  page: number;
}

export class Stage {
  readonly directory: string;
  readonly ask: Question;
  readonly #keeps: boolean;
  collectors: CollectorProcess[] = [];
  #balancer: Balancer | null = null;
  #fleet: Fleet | null = null;
  #page: PageWatch | null = null;
  #token = '';

  private constructor({ ask, keeps }: StageOptions) {
    this.ask = ask;
    this.#keeps = keeps;
    this.directory = mkdtempSync(join(tmpdir(), 'imdswatch-failover-'));
  }

  static async open(options: StageOptions): Promise<Stage> {
    const stage = new Stage(options);
    try {
      await stage.#open(options);
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  async #open({ stores, databases, envOfFirst = {} }: StageOptions): Promise<void> {
    const { directory } = this;
    const ports = [];
    for (let count = 0; count < COLLECTORS; count += 1) ports.push(await freePort());
    this.#balancer = await Balancer.start({ collectors: ports, databases, connections: CONNECTIONS });
    for (const [at, store] of stores(this.#balancer.databasePort).entries()) {
      const env = at === 0 ? envOfFirst : {};
      const place = { port: ports[at]!, directory };
      this.collectors.push(await CollectorProcess.start(`collector-${at + 1}`, { ...place, store, env }));
    }
    const args = ['token', 'create', '--kind', 'person', '--role', 'admin', '--name', 'test'];
    this.#token = (await this.collectors.at(-1)!.command(...args)).trim();
    const spools = join(directory, 'spools');
    mkdirSync(spools);
    this.#fleet = await Fleet.start({
      url: this.#balancer.url.replace('http', 'ws'),
      token: TOKEN,
      caFile: null,
      directory: spools,
      agents: AGENTS,
      callsPerSecond: CALLS_PER_SECOND,
      idsFile: join(directory, 'ids'),
    });
    const page = `${this.#balancer.url}/api/v1/overview`;
    this.#page = new PageWatch(async () => (await askFor(page, this.#token)).status);
  }

  get fleet(): Fleet {
    return this.#fleet!;
  }

  /** Sends a request to a collector as an admin. */
  async askCollector(collector: CollectorProcess, path: string): Promise<{ status: number; text: string }> {
    return await collector.ask(path, this.#token, LIST_MS);
  }

  takePauses(): Pauses {
    return { ...this.fleet.takePauses(), page: this.#page!.takeAwayMs() };
  }

  /** Lets all records arrive, and counts. */
  async count(): Promise<Account> {
    const report = await this.fleet.settle(SETTLE_MS);
    const apis = Object.fromEntries(
      this.collectors.map((collector) => {
        const api: Api = async (path) => {
          const { status, text } = await this.askCollector(collector, path);
          if (status !== 200) throw new Error(`${collector.name}: ${path} answers ${status} ${text}`);
          return text;
        };
        return [collector.name, api] as const;
      }),
    );
    return await account(report, this.fleet.ids(), this.ask, apis);
  }

  async close(): Promise<void> {
    await this.#page?.end();
    await this.#fleet?.stop();
    await this.#balancer?.kill();
    await Promise.all(this.collectors.map((collector) => collector.kill()));
    if (!this.#keeps) rmSync(this.directory, { recursive: true, force: true });
  }
}
