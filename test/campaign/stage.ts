/** Builds the stage of a campaign: a lab with a clock of its own, small disks, an agent, a collector and two loads. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import { Lab, type LabProcess } from '../../lab/lab.ts';
import { SteppedClock } from '../support/collector/stepped_clock.ts';
import type { ClockPeriod } from './shares.ts';
import { Supervised } from './supervised.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const CALLER = join(import.meta.dirname, 'caller.ts');
const NODE = [process.execPath, '--disable-warning=ExperimentalWarning'];
const PORT = 18_787;
const AGENT_TOKEN = 'token-of-the-campaign-only';
/** Small enough to be filled in an instant, large enough for the write-ahead log and what is stored in 20 minutes. */
const SPOOL_DISK = '8m';
const DATA_DISK = '192m';
/** The agent's least: one that is cut off for long drops what it may. */
const SPOOL_BYTES = 4 * 1024 * 1024;

export interface StageOptions {
  /** Calls a second of both loads together. */
  perSecond: number;
}

export class Stage {
  readonly lab: Lab;
  readonly dataDir: string;
  readonly spoolDisk: string;
  /** Everything that the processes say. */
  readonly logDir: string;
  readonly collector: Supervised;
  agent: Supervised;
  readonly hostClock: SteppedClock;
  readonly clockPeriods: ClockPeriod[] = [{ fromMs: 0, offsetMs: 0 }];
  readonly collectorClock: SteppedClock;
  readonly url = `http://127.0.0.1:${PORT}`;
  readonly port = PORT;
  hostId = '';
  spoolDir = '';
  readonly #directory: string;
  readonly #loads: LabProcess[] = [];
  readonly #former: SeenRequest[] = [];

  private constructor(lab: Lab, directory: string, hostClock: SteppedClock, { perSecond }: StageOptions) {
    this.lab = lab;
    this.#directory = directory;
    this.hostClock = hostClock;
    const clockDir = join(directory, 'collector-clock');
    mkdirSync(clockDir);
    this.collectorClock = new SteppedClock(clockDir);
    this.logDir = join(directory, 'logs');
    mkdirSync(this.logDir);
    this.dataDir = this.#smallDisk('data', DATA_DISK);
    this.spoolDisk = this.#smallDisk('spool', SPOOL_DISK);
    const argv = ['collector', '--listen', `127.0.0.1:${PORT}`, '--data-dir', this.dataDir];
    this.collector = new Supervised(
      'the collector',
      () =>
        lab.spawn([...NODE, MAIN, ...argv], {
          env: { IMDSWATCH_AGENT_TOKEN: AGENT_TOKEN, ...this.collectorClock.env },
        }),
      join(this.logDir, 'collector'),
    );
    this.agent = this.makeAgent('campaign-host-1', 'all');
    for (const [index, from] of (['host', 'pod'] as const).entries()) {
      const load = [index + 1, 2, perSecond / 2].map(String);
      this.#loads.push(lab.spawn([...NODE, CALLER, ...load], { from }));
    }
  }

  static async build(options: StageOptions): Promise<Stage> {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-campaign-'));
    try {
      const hostClock = new SteppedClock(directory);
      const lab = await Lab.create({ name: 'campaign', ipv6: false, metadataEnv: hostClock.env });
      try {
        await lab.addPod();
        await lab.metadata.set({ connection: 'keep-alive' });
        return new Stage(lab, directory, hostClock, options);
      } catch (error) {
        await lab.close();
        throw error;
      }
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** An agent of another host, with a spool of its own; not started. */
  makeAgent(hostId: string, detail: 'all' | 'rolled_up'): Supervised {
    this.hostId = hostId;
    this.spoolDir = join(this.spoolDisk, hostId);
    const spoolDir = this.spoolDir;
    const argv = ['--collector-url', `ws://127.0.0.1:${PORT}`, '--spool-dir', spoolDir, '--host-id', hostId];
    const bounds = ['--spool-max-bytes', String(SPOOL_BYTES), '--detail', detail, '--rollup-seconds', '5'];
    const intervals = ['--heartbeat-seconds', '1', '--coverage-seconds', '5'];
    this.agent = new Supervised(
      `the agent of ${hostId}`,
      () =>
        this.lab.spawn([...NODE, MAIN, 'agent', ...argv, ...bounds, ...intervals], {
          env: {
            IMDSWATCH_AGENT_TOKEN: AGENT_TOKEN,
            IMDSWATCH_DOCKER_SOCKET: 'none',
            IMDSWATCH_CRI_SOCKET: 'none',
            ...this.hostClock.env,
          },
        }),
      join(this.logDir, hostId),
    );
    return this.agent;
  }

  #smallDisk(name: string, size: string): string {
    const directory = join(this.#directory, name);
    mkdirSync(directory);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'imdswatch-campaign', directory]);
    const unmount = () => execFileSync('umount', ['-l', directory]);
    this.lab.addPart({ close: async () => {}, closeNow: unmount });
    return directory;
  }

  /** Seconds that the host's clock is off from now on. */
  setHostClock(seconds: number): void {
    this.hostClock.set(seconds);
    this.clockPeriods.push({ fromMs: Date.now(), offsetMs: seconds * 1000 });
  }

  loads(order: 'pause' | 'go'): void {
    for (const load of this.#loads) load.child.stdin?.write(`${order}\n`);
  }

  async endLoads(): Promise<void> {
    for (const load of this.#loads) load.child.stdin?.end();
    await Promise.all(this.#loads.map(({ exited }) => exited));
  }

  async restartService(signal: NodeJS.Signals): Promise<void> {
    const former = await this.lab.restartMetadata(signal);
    this.#former.push(...former.seen);
    await this.lab.metadata.set({ connection: 'keep-alive' });
  }

  /** Everything that every metadata service has seen. */
  async seen(): Promise<SeenRequest[]> {
    return [...this.#former, ...(await this.lab.metadata.log())];
  }

  /** In the lab's host namespace: packets between agent and collector vanish, both ways. */
  cut(): void {
    const rule = `tcp dport ${PORT} drop; tcp sport ${PORT} drop`;
    this.#inHost('nft', `table inet cut { chain in { type filter hook input priority 0; ${rule}; }; }`);
  }

  mend(): void {
    this.#inHost('nft', 'delete table inet cut');
  }

  #inHost(...command: string[]): void {
    execFileSync('nsenter', [`--net=/run/netns/${this.lab.hostNamespace}`, ...command], { stdio: 'pipe' });
  }

  /** Standard output of a command of imdswatch, run on the host. */
  async command(...argv: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.lab.run([...NODE, MAIN, ...argv]);
    if (status !== 0) throw new Error(`imdswatch ${argv.join(' ')} ended with ${status}: ${stderr}`);
    return stdout.trim();
  }

  /** Removes everything but, where they are wanted, the logs. */
  async close(keepLogs: boolean): Promise<void> {
    for (const one of [this.agent, this.collector]) {
      one.signal('SIGCONT');
      await one.end('SIGTERM');
    }
    await this.lab.close();
    if (!keepLogs) rmSync(this.#directory, { recursive: true, force: true });
  }
}
