/** Measures what agents and people notice while parts of the stage end: pauses without an acknowledgement, and of the API. */

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { LabProcess } from '../../lab/lab.ts';
import type { FleetOrders, FleetReport } from './fleet.ts';
import type { Stage } from './stage.ts';

const FLEET = join(import.meta.dirname, 'fleet.ts');
const ASK_EVERY_MS = 250;

/** The longest pauses, in milliseconds. */
export interface Pauses {
  acknowledgements: number;
  page: number;
}

export class Watch {
  readonly #stage: Stage;
  readonly #fleet: LabProcess;
  readonly #token: string;
  #report: FleetReport = { made: 0, waiting: 0, connected: 0, longestPauseMs: 0 };
  #pauses: Pauses = { acknowledgements: 0, page: 0 };
  #isEnding = false;
  readonly #asking: Promise<void>;

  constructor(stage: Stage, fleet: Pick<FleetOrders, 'agents' | 'callsPerSecond'>, token: string) {
    this.#stage = stage;
    this.#token = token;
    const orders: FleetOrders = {
      ...fleet,
      url: 'wss://localhost:8787',
      token: stage.secret('agent_token'),
      caFile: join(stage.secrets, 'ca.crt'),
      directory: join(stage.lab.home, 'spools'),
    };
    const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
    this.#fleet = stage.lab.spawn([...node, FLEET, JSON.stringify(orders)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    createInterface({ input: this.#fleet.child.stdout! }).on('line', (line) => {
      this.#report = JSON.parse(line) as FleetReport;
      this.#pauses.acknowledgements = Math.max(this.#pauses.acknowledgements, this.#report.longestPauseMs);
    });
    this.#asking = this.#askAgain();
  }

  get report(): FleetReport {
    return this.#report;
  }

  async #askAgain(): Promise<void> {
    let answeredMs = performance.now();
    while (!this.#isEnding) {
      const { status } = await this.#stage.ask('/api/v1/overview', this.#token);
      const nowMs = performance.now();
      this.#pauses.page = Math.max(this.#pauses.page, nowMs - answeredMs);
      if (status === 200) answeredMs = nowMs;
      await sleep(ASK_EVERY_MS);
    }
  }

  /** Returns the longest pauses since the last call. */
  takePauses(): Pauses {
    const pauses = this.#pauses;
    this.#pauses = { acknowledgements: 0, page: 0 };
    return pauses;
  }

  /** Makes no more calls, and resolves with their number when all are acknowledged, or when that takes too long. */
  async end(): Promise<FleetReport> {
    this.#isEnding = true;
    this.#fleet.child.stdin!.end();
    await this.#asking;
    await this.#fleet.exited;
    return this.#report;
  }
}
