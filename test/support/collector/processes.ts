/** Agents and collectors as real processes that a test may kill. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { StageCounters } from '../../../protocol/records.ts';
import type { AgentOrders } from './agent_process.ts';

export const TOKEN = 'a-token-of-the-tests-not-a-secret';
const MAIN = join(import.meta.dirname, '../../../cli/main.ts');
const AGENT = join(import.meta.dirname, 'agent_process.ts');
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning'];

export async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** Environment variables and network namespace of a process. */
export interface Surroundings {
  env?: Record<string, string>;
  namespace?: string | null;
}

/** `ip netns exec` becomes the program that it starts: the pid is that program's. */
function nodeIn(namespace: string | null): string[] {
  const node = [process.execPath, ...NODE_FLAGS];
  return namespace === null ? node : ['ip', 'netns', 'exec', namespace, ...node];
}

/** Starts a collector. Port 0 selects a free port; a collector that restarts uses its earlier port. */
export async function startCollectorProcess(
  dataDir: string,
  port = 0,
  { env = {}, namespace = null }: Surroundings = {},
): Promise<{ child: ChildProcess; port: number }> {
  const [program, ...args] = nodeIn(namespace);
  const child = spawn(
    program!,
    [...args, MAIN, 'collector', '--listen', `127.0.0.1:${port}`, '--data-dir', dataDir],
    { env: { ...process.env, IMDSWATCH_AGENT_TOKEN: TOKEN, ...env }, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const said: string[] = [];
  const listening = new Promise<number>((resolve, reject) => {
    createInterface({ input: child.stderr! }).on('line', (line) => {
      said.push(line);
      const listens = /"listen":"ws:\/\/127\.0\.0\.1:(\d+)"/.exec(line);
      if (listens !== null) resolve(Number(listens[1]));
    });
    child.once('exit', () => reject(new Error(`The collector did not start: ${said.join('\n')}`)));
  });
  return { child, port: await listening };
}

export class AgentProcess {
  readonly child: ChildProcess;
  readonly made: number[] = [];
  readonly logLines: string[] = [];
  #waiting: (() => void)[] = [];
  #done = false;
  #counters: StageCounters | null = null;

  constructor(orders: AgentOrders, { env = {}, namespace = null }: Surroundings = {}) {
    const [program, ...args] = nodeIn(namespace);
    this.child = spawn(program!, [...args, AGENT, JSON.stringify(orders)], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    createInterface({ input: this.child.stderr! }).on('line', (line) => this.logLines.push(line));
    createInterface({ input: this.child.stdout! }).on('line', (line) => {
      if (line.startsWith('made ')) this.made.push(Number(line.slice(5)));
      else if (line === 'done') this.#done = true;
      else this.#counters = JSON.parse(line) as StageCounters;
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.child.on('exit', () => {
      for (const wake of this.#waiting.splice(0)) wake();
    });
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`The agent ended: ${this.logLines.join('\n')}`);
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  untilMade(count: number): Promise<void> {
    return this.until(() => this.made.length >= count);
  }

  untilDone(): Promise<void> {
    return this.until(() => this.#done);
  }

  /** Ends the agent in order: it delivers what it can. */
  async stop(): Promise<StageCounters> {
    const closed = once(this.child, 'close');
    this.child.stdin!.end();
    await closed;
    return this.#counters!;
  }
}
