/** A collector of the test: `bin/imdswatch collector`, which keeps its port when it is started again. */
import { type ChildProcess, execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { TOKEN } from '../support/collector/processes.ts';
import { eventually } from '../support/collector/stored.ts';
import { endTied, hasEnded, startTied } from './tied_process.ts';

const LAUNCHER = join(import.meta.dirname, '../../bin/imdswatch');
export const DRAIN_SECONDS = 6;
const START_MS = 120_000;
const ASK_MS = 10_000;

export interface CollectorOptions {
  port: number;
  directory: string;
  /** Address of its database. */
  store: string;
  /** More variables, such as those of a clock of its own. */
  env?: Record<string, string>;
}

export class CollectorProcess {
  readonly name: string;
  readonly port: number;
  readonly logFile: string;
  readonly #directory: string;
  readonly #env: Record<string, string>;
  #child: ChildProcess | null = null;

  private constructor(name: string, port: number, directory: string, env: Record<string, string>) {
    this.name = name;
    this.port = port;
    this.#directory = directory;
    this.logFile = join(directory, `${name}.log`);
    this.#env = env;
  }

  static async start(
    name: string,
    { port, directory, store, env = {} }: CollectorOptions,
  ): Promise<CollectorProcess> {
    const collector = new CollectorProcess(name, port, directory, {
      ...env,
      IMDSWATCH_STORE: store,
    });
    await collector.start();
    return collector;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Starts it, again after it has ended. Resolves when it serves. */
  async start(): Promise<void> {
    const child = startTied(
      [
        ...[LAUNCHER, 'collector', '--listen', `127.0.0.1:${this.port}`],
        ...['--data-dir', join(this.#directory, this.name), '--drain-seconds', String(DRAIN_SECONDS)],
        // All agents come from the load balancer.
        ...['--proxy-trusted-addresses', '127.0.0.1', '--max-unauthenticated-per-address', '1024'],
      ],
      { log: this.logFile, env: { ...process.env, IMDSWATCH_AGENT_TOKEN: TOKEN, ...this.#env } },
    );
    this.#child = child;
    await eventually(
      `${this.name} serves`,
      async () => {
        if (hasEnded(child)) throw new Error(`${this.name} has ended: ${this.log().slice(-2000)}`);
        return (await this.ask('/healthz')).status === 200;
      },
      START_MS,
    );
  }

  /** Ends it at once, as a crash does. */
  async kill(): Promise<void> {
    await endTied(this.#child!, 'SIGKILL');
  }

  /** Ends it in order: it hands its agents over. */
  async drain(): Promise<void> {
    await endTied(this.#child!, 'SIGTERM');
  }

  /** Stops its process for some time, as a machine without processor time does. */
  async freeze(ms: number): Promise<void> {
    this.#child!.kill('SIGSTOP');
    await sleep(ms);
    this.#child!.kill('SIGCONT');
  }

  /** Sends a request. Resolves with the status 0 where nobody answers in time. */
  async ask(path: string, token?: string, withinMs = ASK_MS): Promise<{ status: number; text: string }> {
    return await askFor(`${this.url}${path}`, token, withinMs);
  }

  /** Runs a command on the collector's machine, with its settings. */
  async command(...args: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(LAUNCHER, args, { env: { ...process.env, ...this.#env } });
    return stdout;
  }

  log(): string {
    return readFileSync(this.logFile, 'utf8');
  }
}

/** Returns the status 0 where there was no answer within `withinMs`. */
export async function askFor(
  url: string,
  token?: string,
  withinMs = ASK_MS,
): Promise<{ status: number; text: string }> {
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const answer = await fetch(url, { headers, signal: AbortSignal.timeout(withinMs) });
    return { status: answer.status, text: await answer.text() };
  } catch {
    return { status: 0, text: '' };
  }
}
