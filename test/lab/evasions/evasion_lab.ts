/** A lab with a collector and an agent on a host that has been watched for as long as a verdict asks for. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { readState } from '../../../agent/outbox/state_file.ts';
import type { HostDetail } from '../../../collector/contract/host.ts';
import { DAY_US } from '../../../collector/contract/window.ts';
import { Insight } from '../../../collector/insight/insight.ts';
import { withAdmin } from '../../../collector/local.ts';
import { openStoreForReading } from '../../../collector/store/sqlite/sqlite_store.ts';
import type { StoreQueries } from '../../../collector/store/store.ts';
import type { SeenRequest } from '../../../lab/ground_truth.ts';
import { Lab, type LabProcess } from '../../../lab/lab.ts';
import { setSysctl } from '../../../lab/namespaces.ts';
import type { Call } from '../../../protocol/call.ts';
import { LOSSES_OF_THE_CALLER, lossesOf } from '../../../protocol/losses.ts';
import { Attackers } from './attackers.ts';
import { NODE, startCollector, TOKEN } from './collector_process.ts';
import { type End, type Outcome, problemWith } from './outcome.ts';

const START_TIMEOUT_MS = 90_000;
/** An attempt must be recorded, or counted as lost, this long after it ended. Gives up late: other work may be going on. */
const SETTLE_TIMEOUT_MS = 40_000;
const POLL_MS = 100;
const WINDOW_DAYS = 14;
export interface WatchOptions {
  /** More flags of the agent. */
  flags?: readonly string[];
  env?: Record<string, string>;
  /** Losses that no attempt of the group can cause: other network namespaces of this machine may. */
  unrelated?: readonly string[];
  /** Returns the id of the lab's first, second, third host. */
  hostId?: (number: number) => string;
}

/** One row of the table of evasions: an attempt to call IMDSv1 unnoticed. */
export interface Evasion {
  /** Also part of the path that is asked for. Lower case, digits and hyphens. */
  name: string;
  /** One sentence: what the attempt does. */
  tries: string;
  end: End;
  /** Makes the attempt with requests whose path holds `tag`. Resolves when it is over. */
  act(lab: EvasionLab, tag: string): Promise<void>;
  /** Why this machine cannot make the attempt; null or absent where it can. */
  unavailable?: () => string | null;
}

export class EvasionLab {
  readonly lab: Lab;
  readonly attackers: Attackers;
  agent: LabProcess | null = null;
  hostId = '';
  readonly #store: StoreQueries & { close(): Promise<void> };
  /** Address that agents connect to, on the lab's host. */
  readonly collectorUrl: string;
  #spool = '';
  #token: string | null = null;
  /** Options of the agent from its next start on. */
  options: WatchOptions = {};
  #said = '';
  #before: Record<string, number> = {};
  #hosts = 0;

  private constructor(lab: Lab, collectorUrl: string) {
    this.lab = lab;
    this.attackers = new Attackers(lab);
    this.collectorUrl = collectorUrl;
    this.#store = openStoreForReading(join(lab.home, 'data'));
  }

  /** Builds a lab and starts a collector on its host. The metadata service is the lenient one unless `isStrict`. */
  static async open(name: string, { isStrict = false } = {}): Promise<EvasionLab> {
    const lenient = join(import.meta.dirname, 'lenient_service.ts');
    const lab = await Lab.create({ name, ...(isStrict ? {} : { serviceProgram: lenient }) });
    try {
      // Both sides take data in a SYN, as hosts do whose administrator wants TCP Fast Open.
      setSysctl(lab.hostNamespace, 'net/ipv4/tcp_fastopen', '3');
      setSysctl(lab.metadataNamespace, 'net/ipv4/tcp_fastopen', '1027');
      return new EvasionLab(lab, await startCollector(lab));
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.stopAgent();
    await this.#store.close();
    await this.lab.close();
  }

  /**
   * Starts an agent for a host of its own, which looks watched for longer than the window, and is `ready`. A call in
   * another network namespace of this machine at that moment is a loss: then another host is taken, twice at most.
   */
  async watch(options: WatchOptions = {}): Promise<void> {
    this.options = options;
    for (let tries = 1; ; tries++) {
      await this.stopAgent();
      this.#hosts += 1;
      this.hostId = options.hostId?.(this.#hosts) ?? `evaded-${this.#hosts}`;
      this.#spool = join(this.lab.home, `spool-${this.#hosts}`);
      await this.startAgent();
      await this.#haveAPast();
      const host = await this.host();
      if (host?.verdict === 'ready') return;
      assert.ok(tries < 3, `before the attempts: ${JSON.stringify(host?.readiness)}; ${this.#said}`);
    }
  }

  /** Starts the agent of this host, again where it ran before. Resolves when it says that it watches. */
  async startAgent(): Promise<void> {
    this.#said = '';
    const { flags = [], env = {} } = this.options;
    const agent = this.lab.spawn(
      [
        ...[...NODE, 'agent', '--collector-url', this.collectorUrl, '--spool-dir', this.#spool],
        ...['--host-id', this.hostId, '--heartbeat-seconds', '0.25', '--coverage-seconds', '5'],
        ...['--rollup-seconds', '1', '--docker-socket', 'none', '--cri-socket', 'none', ...flags],
      ],
      { env: { IMDSWATCH_AGENT_TOKEN: TOKEN, ...env } },
    );
    this.agent = agent;
    agent.child.stdout?.resume();
    agent.child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#said = (this.#said + chunk).slice(-100_000);
    });
    await until('the agent watches', START_TIMEOUT_MS, () => {
      assert.ok(agent.child.exitCode === null && agent.child.signalCode === null, this.#said);
      return this.#said.includes('the agent watches');
    });
  }

  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.agent?.stop(signal, 15_000);
    this.agent = null;
  }

  /** Returns what the agent has logged since its start. */
  get said(): string {
    return this.#said;
  }

  /** Dates this host's first report back beyond the window. */
  async #haveAPast(): Promise<void> {
    const database = new DatabaseSync(join(this.lab.home, 'data', 'imdswatch.db'), { timeout: 20_000 });
    try {
      const date = database.prepare(
        `UPDATE watched SET first_us = first_us - ${(WINDOW_DAYS + 1) * DAY_US}
         WHERE host = (SELECT id FROM hosts WHERE host_id = ?)`,
      );
      await until('the first report is stored', START_TIMEOUT_MS, () => date.run(this.hostId).changes > 0);
    } finally {
      database.close();
    }
  }

  /** The host as the page shows it. No unwatched second is tolerated, so that each one shows. */
  async host(): Promise<HostDetail | null> {
    const insight = new Insight(this.#store, {
      readinessWindowDays: WINDOW_DAYS,
      silentAfterSeconds: 300,
      readinessMaxMissingSeconds: 0,
    });
    const untilUs = Date.now() * 1_000;
    return insight.host(this.hostId, { window: { sinceUs: untilUs - DAY_US, untilUs } });
  }

  /** Asks the collector's API with a viewer's token, from the host where it listens. */
  async api<T>(path: string): Promise<T> {
    const by = { name: 'test', sourceAddress: null };
    this.#token ??= await withAdmin(
      { data_dir: join(this.lab.home, 'data') },
      pino({ level: 'silent' }),
      async ({ access }) => {
        return (await access.createToken({ kind: 'person', name: 'viewer', role: 'viewer' }, by)).secret;
      },
    );
    const url = `${this.collectorUrl.replace(/^ws/, 'http')}/api/v1${path}`;
    const authorization = `Authorization: Bearer ${this.#token}`;
    const { status, stdout } = await this.lab.run(['curl', '-sS', '-f', '-H', authorization, url], {
      from: 'host',
    });
    assert.equal(status, 0, `${path}: ${stdout}`);
    return JSON.parse(stdout) as T;
  }

  /** The IMDSv1 calls of this host whose path holds `tag`. */
  async recorded(tag: string): Promise<Call[]> {
    const untilUs = Date.now() * 1_000 + 60e6;
    const window = { sinceUs: untilUs - DAY_US, untilUs };
    const filter = { window, hosts: [this.hostId], identities: null, version: 1 as const, categories: null };
    const { calls } = await this.#store.calls({ ...filter, outcomes: null, path: tag }, 10_000, null);
    return calls;
  }

  /** The IMDSv1 requests with `tag` in their target that the metadata service answered. */
  async served(tag: string): Promise<SeenRequest[]> {
    const log = await this.lab.metadata.log();
    return log.filter(
      ({ version, status, target }) => version === 1 && status !== null && target?.includes(tag),
    );
  }

  /** Returns what the running agent has counted as lost since its start, as of its last heartbeat. */
  losses(): Record<string, number> {
    const state = readState(this.#spool);
    if (state === null || state.pid !== this.agent?.pid) return {};
    const losses = lossesOf(state.heartbeat.counters);
    for (const name of [...LOSSES_OF_THE_CALLER, ...(this.options.unrelated ?? [])]) delete losses[name];
    return losses;
  }

  /** Every counter of the running agent that is not zero, for the message of a failure. */
  counters(): Record<string, number> {
    const stages = Object.entries(readState(this.#spool)?.heartbeat.counters ?? {});
    const all = stages.flatMap(([stage, counts]) =>
      Object.entries(counts).map(([name, count]): [string, number] => [`${stage}.${name}`, count]),
    );
    return Object.fromEntries(all.filter(([, count]) => count !== 0));
  }

  /** Makes an attempt and waits until it has ended as it must, or for a while. Returns what came of it. */
  async attempt(evasion: Evasion): Promise<Outcome> {
    const tag = `${evasion.name}-${Math.random().toString(36).slice(2, 8)}`;
    if (evasion.end === 'loss' || evasion.end === 'either') await this.#noneUnwatched();
    this.#before = this.losses();
    await evasion.act(this, tag);
    const look = async (): Promise<Outcome> => {
      const served = await this.served(tag);
      const recorded = await this.recorded(tag);
      const ports = new Set(recorded.map((call) => call['source.port']));
      const missing = served.filter(({ clientPort }) => !ports.has(clientPort));
      const unexplained = evasion.end === 'gap' ? await this.#watchedAt(missing) : missing.length;
      const losses = added(this.#before, this.losses());
      return { served: served.length, recorded: recorded.length, losses, unexplained };
    };
    let outcome = await look();
    const deadlineMs = performance.now() + SETTLE_TIMEOUT_MS;
    while (problemWith(evasion.end, outcome) !== null && performance.now() < deadlineMs) {
      await sleep(POLL_MS);
      outcome = await look();
      if (outcome.served === 0) break;
    }
    const problem = problemWith(evasion.end, outcome);
    if (problem === null) return outcome;
    assert.fail(`${evasion.tries} ${problem}. Counters: ${JSON.stringify(this.counters())}`);
  }

  /** Losses until now do not end an attempt: its IMDSv1 calls come later. */
  async begin(): Promise<void> {
    await this.quiet();
    this.#before = this.losses();
  }

  /** Counts the requests that were made at a time when the host counts as watched. */
  async #watchedAt(requests: readonly SeenRequest[]): Promise<number> {
    const gaps = (await this.host())?.readiness.coverage.gaps ?? [];
    const isUnwatched = (timeMs: number) =>
      gaps.some(({ from, to }) => Date.parse(from) - 1 <= timeMs && timeMs <= Date.parse(to) + 1);
    return requests.filter(({ time }) => !isUnwatched(Date.parse(time))).length;
  }

  /** Waits until no namespace of an earlier attempt counts as not watched: that would count as a loss of the next one. */
  async #noneUnwatched(): Promise<void> {
    await until('every namespace is watched', START_TIMEOUT_MS, () => {
      const counters = this.counters();
      return !counters['namespaces.not_watched'] && !counters['namespaces.connections_not_followed'];
    });
    await this.quiet();
  }

  /**
   * Waits until a heartbeat tells of no loss that the one before it did not: what earlier attempts lost is counted. Times
   * grow for as long as something exists that is not watched, and are not waited for.
   */
  async quiet(): Promise<void> {
    let before: string | null = null;
    let beat: string | null = null;
    await until('no more losses are counted', START_TIMEOUT_MS, () => {
      const time = readState(this.#spool)?.heartbeat.time ?? null;
      if (time === beat) return false;
      beat = time;
      const counts = Object.entries(this.losses()).filter(([name]) => !name.endsWith('_ms'));
      const losses = JSON.stringify(counts);
      const isQuiet = losses === before;
      before = losses;
      return isQuiet;
    });
  }
}

/** Returns what `after` has more of than `before`. A counter that a restart of the agent set back counts as it stands. */
function added(before: Record<string, number>, after: Record<string, number>): Record<string, number> {
  const more: Record<string, number> = {};
  for (const [name, count] of Object.entries(after)) {
    const known = before[name] ?? 0;
    if (count > known) more[name] = count - known;
  }
  return more;
}

export async function until(
  what: string,
  timeoutMs: number,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) assert.fail(`it did not happen in ${timeoutMs} ms: ${what}`);
    await sleep(POLL_MS);
  }
}
