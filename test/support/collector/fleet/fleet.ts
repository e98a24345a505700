/** Controls the process of the fleet, and keeps what it reports. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../stored.ts';
import type { FleetOrders, FleetReport } from './fleet_process.ts';

/** Records of one agent that may be on their way. */
const FEW_RECORDS = 20;
const PROCESS = join(import.meta.dirname, 'fleet_process.ts');

/** The longest times without an acknowledgement while records waited, in milliseconds. */
export interface Pauses {
  ofAll: number;
  ofOne: number;
}

/** Starts a program with a channel for messages (`ipc`) to its parent. */
export type StartProcess = (argv: readonly string[]) => ChildProcess;

/** The fourth file is the channel for messages. */
export const WITH_CHANNEL = ['ignore', 'inherit', 'inherit', 'ipc'] as const;

const startHere: StartProcess = ([program, ...rest]) => spawn(program!, rest, { stdio: [...WITH_CHANNEL] });

export class Fleet {
  readonly #child: ChildProcess;
  readonly #idsFile: string;
  readonly agents: number;
  #report: FleetReport | null = null;
  #reports = 0;
  #pauses: Pauses = { ofAll: 0, ofOne: 0 };

  private constructor(child: ChildProcess, { idsFile, agents }: FleetOrders) {
    this.#child = child;
    this.#idsFile = idsFile;
    this.agents = agents;
    child.on('message', (report: FleetReport) => {
      this.#report = report;
      this.#reports += 1;
      this.#pauses.ofAll = Math.max(this.#pauses.ofAll, report.pauseMs);
      this.#pauses.ofOne = Math.max(this.#pauses.ofOne, report.pauseOfOneMs);
    });
  }

  /** Starts the agents, by `start` where they belong elsewhere. Resolves when all are connected. */
  static async start(orders: FleetOrders, start: StartProcess = startHere): Promise<Fleet> {
    const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
    const fleet = new Fleet(start([...node, PROCESS, JSON.stringify(orders)]), orders);
    try {
      await eventually('all agents are connected', () => fleet.#report?.connected === orders.agents);
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  get report(): FleetReport {
    if (this.#child.exitCode !== null) throw new Error('The process of the agents has ended.');
    return this.#report!;
  }

  make(isWanted: boolean): void {
    this.#child.send(isWanted);
  }

  /** Resolves with a report that was made from now on. */
  async look(): Promise<FleetReport> {
    const after = this.#reports + 2;
    await eventually('a report of the fleet', () => this.report !== null && this.#reports >= after);
    return this.report;
  }

  /** Resolves when all agents are connected, and have sent nearly everything that waited. */
  async untilConnected(): Promise<void> {
    await eventually('all agents are connected', async () => {
      const { connected, waiting } = await this.look();
      return connected === this.agents && waiting < this.agents * FEW_RECORDS;
    });
  }

  /** Makes no more calls, and resolves when everything is acknowledged. */
  async settle(withinMs: number): Promise<FleetReport> {
    this.make(false);
    // Routine calls that are only counted go into the spool at the end of their interval.
    let calmSince = performance.now();
    await eventually(
      'everything is acknowledged',
      async () => {
        const { waiting } = await this.look();
        if (waiting > 0) calmSince = performance.now();
        return performance.now() - calmSince > 2_500;
      },
      withinMs,
    );
    return this.report;
  }

  /** Returns the longest pauses since the last call. */
  takePauses(): Pauses {
    const pauses = this.#pauses;
    this.#pauses = { ofAll: 0, ofOne: 0 };
    return pauses;
  }

  /** Returns the ids of all calls that are sent one by one. */
  ids(): Set<string> {
    if (!existsSync(this.#idsFile)) return new Set();
    return new Set(readFileSync(this.#idsFile, 'utf8').trim().split('\n'));
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
