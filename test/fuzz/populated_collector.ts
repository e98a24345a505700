/** A collector as a process of its own, with findings in it, for a fuzzer to ask and to send to. */
import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostOf } from '../../bench/collector/fleet.ts';
import { makeScript } from '../../bench/collector/script.ts';
import { type Doings, SimulatedAgent } from '../../bench/collector/simulated_agent.ts';
import { kill, startCollectorProcess, TOKEN } from '../support/collector/processes.ts';
import { eventually } from '../support/collector/stored.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const CALLS = 400;
const HOSTS = 3;

export class PopulatedCollector {
  readonly child: ChildProcess;
  readonly url: string;
  readonly dataDir: string;
  readonly hosts = Array.from({ length: HOSTS }, (_, index) => hostOf(index + 1).id);
  /** Everything that it says. */
  log = '';

  private constructor(child: ChildProcess, port: number, dataDir: string) {
    this.child = child;
    this.url = `http://127.0.0.1:${port}`;
    this.dataDir = dataDir;
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      this.log += chunk;
    });
  }

  static async start(): Promise<PopulatedCollector> {
    const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-fuzz-'));
    const { child, port } = await startCollectorProcess(dataDir);
    const collector = new PopulatedCollector(child, port, dataDir);
    try {
      await collector.#populate();
    } catch (error) {
      await collector.end();
      throw error;
    }
    return collector;
  }

  async #populate(): Promise<void> {
    const doings: Doings = {
      given: 0,
      sentCalls: 0,
      sentBytes: 0,
      frames: 0,
      acknowledgedCalls: 0,
      rejected: 0,
      heartbeats: 0,
      failures: [],
      acknowledgement: null,
      delivery: null,
    };
    const script = makeScript(1, 0.2);
    for (const [index] of this.hosts.entries()) {
      const stream = `00000000-0000-4000-8000-${String(index + 1).padStart(12, '0')}`;
      const options = { url: this.url.replace('http', 'ws'), token: TOKEN, ca: null, maxInFlight: 8 };
      const agent = new SimulatedAgent({
        ...options,
        number: index + 1,
        host: hostOf(index + 1),
        stream,
        script,
        doings,
      });
      await agent.connect();
      agent.heartbeat();
      agent.coverage(5_000);
      for (let count = 0; count < CALLS; count += 1) agent.give(performance.now());
      await eventually('all is acknowledged', () => agent.waiting === 0);
      agent.close();
    }
    if (doings.failures.length + doings.rejected > 0) throw new Error(doings.failures.join(', '));
  }

  /** The secret of a new token for people. */
  personToken(role: 'viewer' | 'admin', name: string): string {
    const argv = ['token', 'create', '--kind', 'person', '--role', role, '--name', name];
    const flags = ['--disable-warning=ExperimentalWarning'];
    const output = execFileSync(process.execPath, [...flags, MAIN, ...argv, '--data-dir', this.dataDir], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return output.trim();
  }

  get isAlive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  residentBytes(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'latin1');
    return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  async end(): Promise<void> {
    await kill(this.child);
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
