/** Describes failures of the disk of a database server, and of the network between it and the collectors. */
import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Network } from '../support/collector/network.ts';
import { eventually } from '../support/collector/stored.ts';
import type { PostgresServer } from '../support/postgres.ts';
import { type Scenario, seconds } from './scenario.ts';
import type { Stage } from './stage.ts';

const CALM_MS = 3_000;
const FULL_MS = 10_000;
const NOTICED_MS = 60_000;
const STALLS_MS = [4_000, 8_000, 12_000];
const DELAY_MS = 40;

/** `mount`: the small file system of the database's tables. */
export function fullDisk(mount: string): Scenario {
  const ballast = join(mount, 'ballast');
  return {
    letter: 'd',
    name: 'the disk of the database is full, and has room again',
    limits: { ofAll: 90_000, ofOne: 120_000, page: 10_000 },
    happen: async (stage) => {
      await sleep(CALM_MS);
      fill(ballast);
      const wrong: string[] = [];
      const beganMs = performance.now();
      await untilAll(stage, 503);
      const noticedMs = performance.now() - beganMs;
      const { text } = await stage.collectors[0]!.ask('/readyz');
      if (!/No space left/.test(text)) wrong.push(`/readyz does not say that the disk is full: ${text}`);
      for (const collector of stage.collectors) {
        if (!/No space left/.test(collector.log()))
          wrong.push(`the log of ${collector.name} does not say it`);
      }
      await sleep(FULL_MS);
      const { waiting } = await stage.fleet.look();
      truncateSync(ballast);
      const madeMs = performance.now();
      await untilAll(stage, 200);
      return {
        remarks: [
          `/readyz is 503 after ${seconds(noticedMs)}, and 200 ${seconds(performance.now() - madeMs)} after there was room; ${waiting} records in spools meanwhile`,
        ],
        wrong,
      };
    },
  };
}

/** Writes a file until there is no room. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  for (const bytes of [2 ** 20, 2 ** 12]) {
    const piece = Buffer.alloc(bytes);
    try {
      for (;;) writeSync(file, piece);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
  closeSync(file);
}

async function untilAll(stage: Stage, wanted: number): Promise<void> {
  await eventually(
    `/readyz of all collectors is ${wanted}`,
    async () => {
      const answers = await Promise.all(stage.collectors.map((collector) => collector.ask('/readyz')));
      return answers.every(({ status }) => status === wanted);
    },
    NOTICED_MS,
  );
}

/** `networks`: between each collector and the server. */
export function badNetwork(networks: readonly Network[], server: PostgresServer): Scenario {
  return {
    letter: 'e',
    name: 'the network between collectors and database stalls, is slow, resets and loses connections',
    limits: { ofAll: 40_000, ofOne: 120_000, page: 50_000 },
    happen: async () => {
      for (const [at, network] of networks.entries()) {
        await sleep(CALM_MS);
        network.mode = 'stall';
        await sleep(STALLS_MS[at]!);
        network.mode = 'pass';
      }
      for (const network of networks) network.delayMs = DELAY_MS;
      await sleep(2 * CALM_MS);
      for (const network of networks) network.delayMs = 0;
      for (let round = 0; round < 2; round += 1) {
        for (const network of networks) {
          network.cut();
          await sleep(CALM_MS / 3);
        }
      }
      // The server cannot be reached for a while.
      for (const network of networks) {
        network.mode = 'refuse';
        network.cut();
      }
      await sleep(CALM_MS);
      for (const network of networks) network.mode = 'pass';
      await sleep(CALM_MS);
      // Neither side hears of the other one again. Only their time-outs end these connections.
      networks[0]!.lose();
      const lostMs = performance.now();
      await eventually('the server has ended what it cannot reach', async () => {
        const rows = await server.query(
          'imdswatch',
          `SELECT 1 FROM pg_stat_activity WHERE usename = 'imdswatch' AND state LIKE 'idle in transaction%'
             AND now() - state_change > interval '6 s'`,
        );
        return rows.length === 0 && performance.now() - lostMs > 2 * CALM_MS;
      });
      return { remarks: [], wrong: [] };
    },
  };
}
