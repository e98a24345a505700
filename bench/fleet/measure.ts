/**
 * Measures a fleet: simulated agents report like quiet hosts to collectors behind HAProxy. Collectors and HAProxy
 * are ended in different ways while the agents go on.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Forked } from '../collector/forked.ts';
import { processUsage } from '../collector/process_usage.ts';
import type { AgentsOrder, AgentsReport } from './agents_process.ts';
import { growthOf, secondsSince, sum } from './growth.ts';
import { carriedBytes, trafficTo } from './network.ts';
import type { EndingResult, FleetResult, SteadyResult } from './results.ts';
import { COLLECTORS, Stage, type StageOptions, type StageUsage } from './stage.ts';

export interface FleetCase extends StageOptions {
  agents: number;
  callsPerSecond: number;
  /** Time in which the agents enrol. */
  startMs: number;
  /** Time before anything is measured. */
  warmUpMs: number;
  steadyMs: number;
  sampleMs: number;
  /** Time from one ending to the next one. */
  pauseMs: number;
}

const AGENTS = join(import.meta.dirname, 'agents_process.ts');
const ALL_BACK_MS = 600_000;
const POLL_MS = 250;
/** All agents are back when they are connected in so many readings in a row. */
const STABLE_READINGS = 8;
const SETTLE_MS = 60_000;

export async function measureFleet(
  options: FleetCase,
  dir: string,
  progress: (text: string) => void,
): Promise<FleetResult> {
  const stage = await Stage.start(options, dir);
  const agents = new Forked<AgentsOrder, AgentsReport>(AGENTS);
  try {
    return await new Fleet(options, stage, agents, progress).run();
  } finally {
    await agents.stop();
    await stage.close();
  }
}

class Fleet {
  readonly #options: FleetCase;
  readonly #stage: Stage;
  readonly #agents: Forked<AgentsOrder, AgentsReport>;
  readonly #progress: (text: string) => void;

  constructor(
    options: FleetCase,
    stage: Stage,
    agents: Forked<AgentsOrder, AgentsReport>,
    progress: (text: string) => void,
  ) {
    this.#options = options;
    this.#stage = stage;
    this.#agents = agents;
    this.#progress = progress;
  }

  async run(): Promise<FleetResult> {
    const { agents, standbys, tls, startMs, warmUpMs, callsPerSecond, pauseMs } = this.#options;
    const { collectors, balancer, cluster, url, caFile } = this.#stage;
    await sleep(Math.min(warmUpMs, 5_000));
    const before = await this.#stage.usage();
    this.#progress(`${agents} agents enrol`);
    const beganMs = Date.now();
    const token = collectors[0]!.agentToken;
    await this.#agents.ask({ do: 'start', url, token, caFile, agents, withinMs: startMs });
    const joined = await this.#allBack();
    const enrolledIn = (joined.lastWelcomeMs - beganMs) / 1000;
    const distribution = await balancer.connections();
    await this.#agents.ask({ do: 'call', perSecond: callsPerSecond });
    await sleep(warmUpMs);
    this.#progress(
      `enrolled after ${enrolledIn.toFixed(1)} s; steady load for ${this.#options.steadyMs / 1000} s`,
    );
    const steady = await this.#steady(before);
    const endings: EndingResult[] = [];
    const end = async (name: string, work: () => Promise<void>) => {
      endings.push(await this.#ending(name, work));
    };
    await end('a collector hands its agents over (SIGTERM)', async () => {
      await collectors[0]!.stop();
    });
    await this.#stage.startAgain(0);
    await sleep(pauseMs);
    await end('a collector is killed (SIGKILL)', async () => collectors[1]!.kill());
    await this.#stage.startAgain(1);
    await sleep(pauseMs);
    await end('HAProxy is killed and started again', async () => {
      await balancer.kill();
      await balancer.startAgain();
      await balancer.untilReady();
    });
    const last = await this.#agents.ask({ do: 'settle', forMs: SETTLE_MS });
    if (last.unacknowledged > 0) throw new Error(`${last.unacknowledged} batches were not acknowledged`);
    if (last.rejected > 0) throw new Error(`the collectors left out ${last.rejected} records`);
    await this.#agents.ask({ do: 'stop' });
    for (const collector of collectors) await collector.stop();
    const { calls, counted, rolledUp } = await cluster.stored();
    return {
      agents,
      collectors: COLLECTORS,
      standbys,
      tls,
      enrolled_in_seconds: enrolledIn,
      distribution,
      steady,
      endings,
      calls_acknowledged: last.acknowledgedCalls,
      calls_stored: calls,
      calls_counted: counted,
      other_records_acknowledged: last.acknowledgedRecords - last.acknowledgedCalls,
      rolled_up_calls: rolledUp,
    };
  }

  /** `before`: what was used when nobody was connected. */
  async #steady(before: StageUsage): Promise<SteadyResult> {
    const { steadyMs, sampleMs } = this.#options;
    const { balancer, collectors } = this.#stage;
    const counted = await this.#agents.ask({ do: 'count' });
    const begin = await this.#stage.usage();
    const traffic = await trafficTo(balancer.port);
    const beganMs = performance.now();
    const samples: SteadyResult['samples'] = [];
    while (performance.now() - beganMs < steadyMs) {
      await sleep(Math.min(sampleMs, steadyMs));
      samples.push({
        second: (performance.now() - beganMs) / 1000,
        collectors_bytes: collectors.map((subject) => subject.usage().residentBytes),
        haproxy_bytes: processUsage(balancer.processId).residentBytes,
      });
    }
    const report = await this.#agents.ask({ do: 'report' });
    const seconds = (performance.now() - beganMs) / 1000;
    const end = await this.#stage.usage();
    const carried = carriedBytes(traffic, await trafficTo(balancer.port));
    const percent = (key: 'collectors' | 'haproxy' | 'primary' | 'standbys') =>
      ((end[key] - begin[key]) / seconds) * 100;
    return {
      seconds,
      reconnected: report.welcomes,
      ends: report.ends,
      heartbeats_per_second: report.heartbeats / seconds,
      batches_per_second: report.batches / seconds,
      calls_per_second: (report.acknowledgedCalls - counted.acknowledgedCalls) / seconds,
      acknowledgement: report.acknowledgement,
      cpu_percent: {
        collectors: percent('collectors'),
        haproxy: percent('haproxy'),
        primary: percent('primary'),
        standbys: percent('standbys'),
        agents: (report.cpuSeconds / seconds) * 100,
      },
      collectors_bytes: sum(end.collectorsBytes),
      collectors_bytes_before: sum(before.collectorsBytes),
      haproxy_bytes: end.haproxyBytes,
      haproxy_bytes_before: before.haproxyBytes,
      primary_bytes: end.primaryBytes,
      primary_bytes_before: before.primaryBytes,
      wal_bytes_per_second: (end.walBytes - begin.walBytes) / seconds,
      disk_bytes_per_second: (end.diskBytes - begin.diskBytes) / seconds,
      network_bytes_per_second: carried / seconds,
      collectors_growth: growthOf(samples, ({ collectors_bytes }) => sum(collectors_bytes)),
      haproxy_growth: growthOf(samples, ({ haproxy_bytes }) => haproxy_bytes),
      samples,
    };
  }

  /** Ends something, and waits until all agents are connected again. */
  async #ending(ending: string, end: () => Promise<void>): Promise<EndingResult> {
    this.#progress(ending);
    await this.#agents.ask({ do: 'count' });
    const before = this.#stage.processors();
    const beganMs = Date.now();
    await end();
    const report = await this.#allBack();
    return {
      ending,
      agents: report.welcomes,
      handed_over: report.handedOver,
      seconds: (report.lastWelcomeMs - beganMs) / 1000,
      away: report.away,
      ends: report.ends,
      acknowledgement: report.acknowledgement,
      resent_batches: report.resent,
      distribution: await this.#stage.balancer.connections(),
      cpu_seconds: secondsSince(before, this.#stage.processors()),
    };
  }

  /** Waits until as many agents are connected as there are, and stay so for a moment. */
  async #allBack(): Promise<AgentsReport> {
    const { agents } = this.#options;
    const deadline = performance.now() + ALL_BACK_MS;
    for (let stable = 0; ; ) {
      const report = await this.#agents.ask({ do: 'report' });
      stable = report.connected === agents ? stable + 1 : 0;
      if (stable >= STABLE_READINGS) return report;
      if (performance.now() > deadline) {
        throw new Error(`${report.connected} of ${agents} are connected: ${endsOf(report)}`);
      }
      await sleep(POLL_MS);
    }
  }
}

function endsOf({ ends }: AgentsReport): string {
  return Object.entries(ends)
    .map(([reason, times]) => `${times} times ${reason}`)
    .join(', ');
}
