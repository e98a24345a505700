/**
 * Runs imdswatch in the demo's lab: `up` records the calls, `watch` shows them live, `offenders` lists the
 * result. An agent on a second host reports to the same collector.
 */
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import { selfSignedFiles } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { DEMO_ACCOUNT, DEMO_REGION, type DemoHost } from '../../lab/demo_cloud.ts';
import type { Lab, LabProcess, RunResult } from '../../lab/lab.ts';
import { portOutOf, Relay, socketInto } from '../../lab/relay.ts';

const MAIN = join(import.meta.dirname, '../main.ts');
const START_TIMEOUT_MS = 60_000;
const STOP_GRACE_MS = 15_000;
const COMMAND_TIMEOUT_MS = 60_000;

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
const logLine = z.object({ level: z.number(), msg: z.string(), attribution: z.string().optional() });
/** `up` and `agent` log this once their capture is live. */
const READY_MESSAGE = 'the agent watches';
/** The lab has its own loopback interface, so this port cannot be in use on the machine. */
const COLLECTOR_PORT = 8787;
/** Reports come often, so that a verdict does not wait for them. */
const OFTEN = ['--heartbeat-seconds', '1', '--coverage-seconds', '5', '--rollup-seconds', '1'];
/** Says on the page that the history of a host is not real. */
const HISTORY_TAG = 'history=made up for the demo';
/** Matches the sign-in link that `up` prints between the lines of its log. */
const SIGN_IN_LINK = /\bhttps:\/\/\S+\/sign-in#\S+/;

/** One host, and the lab that it is in. */
interface Watched {
  lab: Lab;
  host: DemoHost;
}

export class DemoObserver {
  readonly dataDir: string;
  readonly #lab: Lab;
  readonly #env: Record<string, string>;
  readonly #running = new Map<string, LabProcess>();
  /** Warnings and errors of `up`, which are shown when the demo fails. */
  readonly #complaints: string[] = [];
  /** Leads to the collector, from outside of the lab. */
  #socket = '';
  #signInLink: string | null = null;
  #attribution: string | null = null;

  private constructor(lab: Lab, engineSocket: string | null) {
    this.#lab = lab;
    this.dataDir = join(lab.home, 'data');
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
    { lab, host }: Watched,
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
    observer.#socket = await socketInto(lab, COLLECTOR_PORT);
    // The lab has no route to this machine. The relay makes the page reachable for a browser here.
    const relay = liveView ? await Relay.open(lab, observer.#socket) : null;
    const flags = [
      ...['--data-dir', observer.dataDir, '--listen', `127.0.0.1:${COLLECTOR_PORT}`, '--tls-self-signed'],
      ...(relay === null ? [] : ['--public-url', `https://127.0.0.1:${relay.port}`]),
    ];
    observer.#attribution = await observer.#startAgent('up', { lab, host }, flags, observer.#env);
    return observer;
  }

  /** Returns a token with which the agent of this host may report to the collector. */
  async agentToken({ id }: DemoHost): Promise<string> {
    const argv = ['token', 'create', '--kind', 'agent', '--host-id', id, '--data-dir', this.dataDir];
    const { status, stdout, stderr } = await this.run(argv, {});
    if (status !== 0) throw new OperatorError(1, `"imdswatch token create" failed: ${stderr}`);
    return stdout.trim();
  }

  /** Starts an agent on a second host, which reports to the same collector. Resolves when it captures. */
  async watchToo({ lab, host }: Watched, token: string): Promise<void> {
    await portOutOf(lab, COLLECTOR_PORT, this.#socket);
    const flags = [
      ...['--collector-url', `wss://127.0.0.1:${COLLECTOR_PORT}`],
      ...['--collector-ca-file', selfSignedFiles(this.dataDir).certFile],
    ];
    const env = {
      ...this.#env,
      IMDSWATCH_DOCKER_SOCKET: 'none',
      IMDSWATCH_AGENT_TOKEN: token,
    };
    await this.#startAgent('agent', { lab, host }, flags, env);
  }

  #command(...args: string[]): string[] {
    return [process.execPath, MAIN, ...args];
  }

  /** Resolves to the agent's method of attribution when it watches. */
  async #startAgent(
    command: 'up' | 'agent',
    { lab, host }: Watched,
    extraFlags: string[],
    env: Record<string, string>,
  ): Promise<string | null> {
    const tags = [...Object.entries(host.tags).map(([name, value]) => `${name}=${value}`), HISTORY_TAG];
    const flags = [
      ...['--spool-dir', join(lab.home, 'spool'), '--host-id', host.id, '--host-name', host.name],
      ...['--host-account', DEMO_ACCOUNT, '--host-region', DEMO_REGION, '--host-tags', tags.join(',')],
      ...OFTEN,
      ...extraFlags,
    ];
    const agent = lab.spawn(this.#command(command, ...flags), { env });
    this.#running.set(command, agent);
    agent.child.stdout?.resume();
    const { promise: ready, resolve, reject } = Promise.withResolvers<string | null>();
    const lines = createInterface({ input: agent.child.stderr! });
    lines.on('line', (line) => {
      const logged = logLine.safeParse(parseJson(line));
      if (logged.success && logged.data.msg === READY_MESSAGE) resolve(logged.data.attribution ?? null);
      const link = SIGN_IN_LINK.exec(line);
      if (!logged.success && link !== null) this.#signInLink = link[0];
      else if (!logged.success || logged.data.level >= WARN_LEVEL) this.#complaints.push(line);
    });
    void agent.exited.then(({ status, signal }) =>
      reject(new Error(`it ended (${signal ?? `exit code ${status}`})`)),
    );
    const timer = setTimeout(() => reject(new Error('it was not ready in time')), START_TIMEOUT_MS);
    try {
      return await ready;
    } catch (error) {
      const log = this.#complaints.map((line) => `\n  ${line}`).join('');
      throw new OperatorError(
        1,
        `"imdswatch ${command}" did not start in the lab: ${(error as Error).message}.${log}`,
      );
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs a command on the collector's host to its end. The caller judges its status. */
  run(args: readonly string[], env: Record<string, string>): Promise<RunResult> {
    return this.#lab.run(this.#command(...args), {
      env: { ...this.#env, ...env },
      timeoutMs: COMMAND_TIMEOUT_MS,
    });
  }

  /** Tells whether the kernel itself reports who calls. Without that, agents on one kernel see each other's hosts. */
  get hasEbpf(): boolean {
    return this.#attribution === 'ebpf';
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
   * Ends all of them by SIGTERM, so that they deliver all records: the agent of the second host first, while the
   * collector still takes them. Returns one line for each of them that had ended before or that failed.
   */
  async stop(): Promise<string[]> {
    const differences: string[] = [];
    for (const [command, running] of [...this.#running].toReversed()) {
      const endedBefore = running.child.exitCode !== null || running.child.signalCode !== null;
      await running.stop('SIGTERM', STOP_GRACE_MS);
      const { status, signal } = await running.exited;
      if (status === 0 && !endedBefore) continue;
      differences.push(
        `"imdswatch ${command}" ended ${endedBefore ? 'too early ' : ''}(${signal ?? `exit code ${status}`})`,
      );
    }
    return differences;
  }

  /** Prints the table of offenders on stdout. */
  async printOffenders(): Promise<void> {
    const table = this.#lab.spawn(this.#command('offenders', '--data-dir', this.dataDir), {
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
      this.#command('offenders', '--data-dir', this.dataDir, '--json', '--all'),
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
