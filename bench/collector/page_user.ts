/** Simulates people and programs that use the page and the API: questions, exports, live feeds, tokens. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient } from './api_client.ts';
import { hostOf } from './fleet.ts';
import type { Random } from './random.ts';

const QUESTION_EVERY_MS = 500;
const EXPORT_EVERY_MS = 30_000;
const WATCH_FOR_MS = 20_000;
const WATCHERS = 3;

const EXPORTS = [
  '/api/v1/offenders?format=csv',
  '/api/v1/hosts?format=csv',
  '/api/v1/calls?format=csv&days=1&host=',
  '/api/v1/calls?format=ndjson&days=1&host=',
];

export interface PageUserOptions {
  url: string;
  token: string;
  hosts: number;
  random: Random;
}

export class PageUser {
  readonly #client: ApiClient;
  readonly #options: PageUserOptions;
  readonly #ending = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #failure: unknown = null;
  questions = 0;
  exports = 0;
  feeds = 0;
  liveCalls = 0;

  constructor(options: PageUserOptions) {
    this.#options = options;
    this.#client = new ApiClient(options.url, options.token);
  }

  start(): void {
    const watchers = Array.from({ length: WATCHERS }, () => this.#repeat(() => this.#watch()));
    this.#running = Promise.all([
      this.#repeat(() => this.#question()),
      this.#repeat(() => this.#export()),
      ...watchers,
    ]);
    this.#running.catch((error) => {
      this.#failure ??= error;
    });
  }

  /** Throws the first error so far: a load without one of its parts would measure something else. */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Throws the first error that happened meanwhile. */
  async stop(): Promise<void> {
    this.#ending.abort();
    try {
      await this.#running;
    } finally {
      this.#client.close();
    }
  }

  async #repeat(work: () => Promise<void>): Promise<void> {
    while (!this.#ending.signal.aborted) await work();
  }

  /** Sleeps. Ends early when the whole load ends. */
  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#ending.signal }).catch(() => {});
  }

  #host(): string {
    const { random, hosts } = this.#options;
    return hostOf(1 + random.below(hosts)).id;
  }

  async #question(): Promise<void> {
    const { random } = this.#options;
    const days = random.of(['', 'days=1', 'days=7', 'days=90']);
    const host = this.#host();
    const path = random.of([
      '/api/v1/overview',
      '/api/v1/offenders',
      `/api/v1/offenders?host=${host}`,
      '/api/v1/hosts',
      `/api/v1/hosts/${host}`,
      '/api/v1/readiness/groups?by=account',
      '/api/v1/readiness/groups?by=tag:team',
      `/api/v1/calls?host=${host}`,
      '/api/v1/calls?path=security-credentials',
    ]);
    await this.#client.get(`${path}${path.includes('?') ? '&' : '?'}${days}`);
    if (this.questions % 10 === 0) {
      for (const other of ['/metrics', '/api/v1/alerts', '/api/v1/tokens', '/api/v1/audit']) {
        await this.#client.get(other);
      }
    }
    this.questions += 1;
    await this.#pause(QUESTION_EVERY_MS);
  }

  async #export(): Promise<void> {
    const path = EXPORTS[this.exports % EXPORTS.length]!;
    await this.#client.get(path.endsWith('host=') ? `${path}${this.#host()}` : path);
    this.exports += 1;
    await this.#pause(EXPORT_EVERY_MS);
  }

  async #watch(): Promise<void> {
    const filter = this.#options.random.of(['', '?version=1', `?host=${this.#host()}`]);
    const leave = await this.#client.watch(`/api/v1/live${filter}`, () => {
      this.liveCalls += 1;
    });
    this.feeds += 1;
    await this.#pause(WATCH_FOR_MS);
    leave();
  }
}
