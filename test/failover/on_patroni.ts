/** Describes failures of collectors, of servers with automatic failover, and of a clock. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SteppedClock } from '../support/collector/stepped_clock.ts';
import type { PatroniCluster } from './patroni_cluster.ts';
import { type Scenario, seconds } from './scenario.ts';
import { COLLECTORS } from './stage.ts';

const CALM_MS = 3_000;
const FREEZES_MS = [8_000, 10_000, 12_000];
/** Longer than a client waits for the answer to a commit. */
const WITHOUT_STANDBYS_MS = 45_000;
const HOUR_SECONDS = 3_600;

const NOTHING = { remarks: [], wrong: [] };

export function onPatroni(cluster: PatroniCluster, clock: SteppedClock | null): Scenario[] {
  const scenarios: Scenario[] = [
    {
      letter: 'a',
      name: 'the primary is killed twice, and comes back as a standby',
      limits: { ofAll: 40_000, ofOne: 90_000, page: 40_000 },
      happen: async (stage) => {
        const remarks: string[] = [];
        for (let round = 1; round <= 2; round += 1) {
          await sleep(CALM_MS);
          const before = (await cluster.leader())!;
          const beganMs = performance.now();
          await cluster.killNode(before);
          const after = await cluster.untilOtherLeader(before);
          const failoverMs = performance.now() - beganMs;
          await sleep(CALM_MS);
          cluster.startNode(before);
          await cluster.untilWhole();
          const wholeMs = performance.now() - beganMs;
          // Agents that had to wait for long connect again.
          await stage.fleet.untilConnected();
          remarks.push(
            `${before.name} killed: ${after.name} is the primary after ${seconds(failoverMs)}, and all follow it after ${seconds(wholeMs)}`,
          );
        }
        return { remarks, wrong: [] };
      },
    },
    {
      letter: 'b',
      name: 'collectors are killed, frozen and drained in turn',
      limits: { ofAll: 10_000, ofOne: 30_000, page: 15_000 },
      happen: async ({ collectors }) => {
        for (let round = 0; round < COLLECTORS; round += 1) {
          const turn = (step: number) => collectors[(round + step) % COLLECTORS]!;
          await turn(0).kill();
          await sleep(CALM_MS);
          await turn(0).start();
          await turn(1).freeze(FREEZES_MS[round]!);
          await sleep(CALM_MS);
          await turn(2).drain();
          await turn(2).start();
          await sleep(CALM_MS);
        }
        return NOTHING;
      },
    },
    {
      letter: 'c',
      name: 'both standbys are lost',
      limits: { ofAll: 90_000, ofOne: 120_000, page: 30_000 },
      happen: async (stage) => {
        await sleep(CALM_MS);
        const leader = (await cluster.leader())!;
        const standbys = cluster.nodes.filter((node) => node !== leader);
        await Promise.all(standbys.map((node) => cluster.killNode(node)));
        await sleep(CALM_MS);
        const before = await stage.fleet.look();
        await sleep(WITHOUT_STANDBYS_MS);
        const after = await stage.fleet.look();
        const wrong: string[] = [];
        const acknowledged = after.acknowledged - before.acknowledged;
        if (acknowledged > 0) wrong.push(`${acknowledged} records were acknowledged without a standby`);
        const readyz = await Promise.all(stage.collectors.map((each) => each.ask('/readyz')));
        const statuses = readyz.map(({ status }) => status);
        if (statuses.some((status) => status !== 503)) wrong.push(`/readyz answers ${statuses} meanwhile`);
        const [connections] = await cluster.query(
          'imdswatch',
          `SELECT count(*)::integer AS all, count(*) FILTER (WHERE wait_event = 'SyncRep')::integer AS waiting
           FROM pg_stat_activity WHERE usename = 'imdswatch'`,
        );
        for (const node of standbys) cluster.startNode(node);
        await cluster.untilWhole();
        return {
          remarks: [
            `after ${seconds(WITHOUT_STANDBYS_MS)}: ${after.waiting} records in spools; /readyz: ${readyz[0]!.text}`,
            `${connections!['all']} connections, ${connections!['waiting']} of them wait for a standby`,
          ],
          wrong,
        };
      },
    },
  ];
  if (clock === null) return scenarios;
  return [
    ...scenarios,
    {
      letter: 'f',
      name: 'the clock of one collector is an hour ahead, then an hour behind',
      limits: { ofAll: 10_000, ofOne: 30_000, page: 10_000 },
      happen: async () => {
        for (const set of [HOUR_SECONDS, -HOUR_SECONDS, 0]) {
          await sleep(CALM_MS);
          clock.set(set);
          await sleep(2 * CALM_MS);
        }
        return NOTHING;
      },
    },
  ];
}
