/**
 * Runs imdswatch in the demo's lab: `up` records the calls, `watch` shows them live, `offenders` lists the
 * result.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { OperatorError } from '../common/operator_error.ts';
import type { Lab, LabProcess, RunResult } from '../lab/lab.ts';
import { Relay } from '../lab/relay.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const START_TIMEOUT_MS = 20_000;
const STOP_GRACE_MS = 15_000;

/** The part of `offenders --json` that the demo compares. */
const listedOffenders = z.array(
  z
    .object({
      executable: z.string().nullable(),
      script: z.string().nullable(),
      calls_v1: z.int(),
      calls_v2: z.int(),
      credentials_over_v1: z.int(),
    })
    .transform(({ executable, script, calls_v1, calls_v2, credentials_over_v1 }) => ({
      executable,
      script,
      v1: calls_v1,
      v2: calls_v2,
      credentialsOverV1: credentials_over_v1,
    })),
);

/** Environment of the terminal and of Node, which the lab does not pass on by itself. */
const PASSED_ON = ['TERM', 'COLORTERM', 'NO_COLOR', 'FORCE_COLOR', 'COLUMNS', 'NODE_COMPILE_CACHE'];

/** Number of pino's level for warnings. */
const WARN_LEVEL = 40;
const logLine = z.object({ level: z.number(), msg: z.string() });
/** `up` logs this once its capture is live and its collector listens. */
const READY_MESSAGE = 'the agent watches';
/** The lab has its own loopback interface, so this port cannot be in use on the machine. */
const COLLECTOR_PORT = 8787;
/** Matches the sign-in link that `up` prints between the lines of its log. */
const SIGN_IN_LINK = /\bhttps:\/\/\S+\/sign-in#\S+/;

export class DemoObserver {
  readonly #lab: Lab;
  readonly #dataDir: string;
  readonly #env: Record<string, string>;
  readonly #running = new Map<string, LabProcess>();
  /** Warnings and errors of `up`, which are shown when the demo fails. */
  #complaints: string[] = [];
  #signInLink: string | null = null;

  private constructor(lab: Lab, engineSocket: string | null) {
    this.#lab = lab;
    this.#dataDir = join(lab.home, 'data');
    this.#env = {
      ...Object.fromEntries(
        PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
      ),
      // Only the lab's engine is used, and none of this machine.
      IMDSWATCH_DOCKER_SOCKET: engineSocket ?? 'none',
      IMDSWATCH_CRI_SOCKET: 'none',
    };
  }

  /**
   * Starts agent and collector, and with `liveView` also `watch` on this terminal. Resolves when calls are
   * captured. Throws `OperatorError` with the messages of `up` when it does not start.
   */
  static async start(
    lab: Lab,
    { liveView, engineSocket }: { liveView: boolean; engineSocket: string | null },
  ): Promise<DemoObserver> {
    const observer = new DemoObserver(lab, engineSocket);
    if (liveView) {
      // `watch` starts first, so that it sees the first calls.
      const watch = lab.spawn(observer.#command('watch'), {
        env: observer.#env,
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      observer.#running.set('watch', watch);
    }
    // The lab has no route to this machine. The relay makes the page reachable for a browser here.
    const relay = liveView ? await Relay.open(lab, COLLECTOR_PORT) : null;
    await observer.#startUp(relay === null ? [] : ['--public-url', `https://127.0.0.1:${relay.port}`]);
    return observer;
  }

  #command(...args: string[]): string[] {
    return [process.execPath, MAIN, ...args];
  }

  async #startUp(extraFlags: string[]): Promise<void> {
    const spool = join(this.#lab.home, 'spool');
    const flags = [
      ...['--data-dir', this.#dataDir, '--spool-dir', spool],
      ...['--listen', `127.0.0.1:${COLLECTOR_PORT}`, '--tls-self-signed'],
      ...extraFlags,
    ];
    const up = this.#lab.spawn(this.#command('up', ...flags), { env: this.#env });
    this.#running.set('up', up);
    up.child.stdout?.resume();
    const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
    const lines = createInterface({ input: up.child.stderr! });
    lines.on('line', (line) => {
      const logged = logLine.safeParse(parseJson(line));
      if (logged.success && logged.data.msg === READY_MESSAGE) resolve();
      const link = SIGN_IN_LINK.exec(line);
      if (!logged.success && link !== null) this.#signInLink = link[0];
      else if (!logged.success || logged.data.level >= WARN_LEVEL) this.#complaints.push(line);
    });
    void up.exited.then(({ status, signal }) =>
      reject(new Error(`it ended (${signal ?? `exit code ${status}`})`)),
    );
    const timer = setTimeout(() => reject(new Error('it was not ready in time')), START_TIMEOUT_MS);
    try {
      await ready;
    } catch (error) {
      const log = this.#complaints.map((line) => `\n  ${line}`).join('');
      throw new OperatorError(
        1,
        `"imdswatch up" did not start in the lab: ${(error as Error).message}.${log}`,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /** Link that signs a browser on this machine in to the page; null without the live view. */
  get signInLink(): string | null {
    return this.#signInLink;
  }

  /** Warnings and errors that `up` logged so far. */
  get complaints(): readonly string[] {
    return this.#complaints;
  }

  /**
   * Ends `up` and `watch` by SIGTERM, so that they deliver all records. Returns one line for each of them
   * that had ended before or that failed.
   */
  async stop(): Promise<string[]> {
    const ends = [...this.#running].map(async ([command, running]) => {
      const endedBefore = running.child.exitCode !== null || running.child.signalCode !== null;
      await running.stop('SIGTERM', STOP_GRACE_MS);
      const { status, signal } = await running.exited;
      if (status === 0 && !endedBefore) return [];
      return [
        `"imdswatch ${command}" ended ${endedBefore ? 'too early ' : ''}(${signal ?? `exit code ${status}`})`,
      ];
    });
    return (await Promise.all(ends)).flat();
  }

  /** Prints the table of offenders on stdout. */
  async printOffenders(): Promise<void> {
    const table = this.#lab.spawn(this.#command('offenders', '--data-dir', this.#dataDir), {
      env: this.#env,
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const { status } = await table.exited;
    if (status !== 0) throw new OperatorError(1, `"imdswatch offenders" ended with exit code ${status}.`);
  }

  /**
   * Returns all callers. A program that ran in two places has two rows, perhaps one of them without IMDSv1
   * calls.
   */
  async listOffenders(): Promise<z.infer<typeof listedOffenders>> {
    const answer: RunResult = await this.#lab.run(
      this.#command('offenders', '--data-dir', this.#dataDir, '--json', '--all'),
      { env: this.#env },
    );
    if (answer.status !== 0) {
      throw new OperatorError(
        1,
        `"imdswatch offenders --json" ended with exit code ${answer.status}: ${answer.stderr}`,
      );
    }
    return listedOffenders.parse(JSON.parse(answer.stdout));
  }
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}
