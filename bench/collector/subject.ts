/** Runs the `imdswatch collector` that is measured, as a process with a data directory of its own. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openStoreForReading } from '../../collector/store/sqlite/sqlite_store.ts';
import type { MemoryAnswer } from './memory_probe.ts';
import { processUsage, type Usage } from './process_usage.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const MEMORY_PROBE = join(import.meta.dirname, 'memory_probe.ts');
const MEMORY_TIMEOUT_MS = 60_000;
const LAUNCHER_FLAGS = ['--disable-warning=ExperimentalWarning'];
/** The bound of the collector's unit on V8's young generation, in MiB. */
const SEMI_SPACE_MIB = 8;
/** The enrolment token for agents. Nobody else can reach the collector of a benchmark. */
const AGENT_TOKEN = 'token-of-the-benchmark-only';
const MAX_CONNECTIONS = 10_000;
/** A machine that is busy with something else takes this long. */
const START_TIMEOUT_MS = 120_000;
const STOP_TIMEOUT_MS = 30_000;

export interface SubjectOptions {
  dataDir: string;
  tls: boolean;
  /** Address of a PostgreSQL database; default: the embedded store. */
  store?: string;
  /** Bound on a half of V8's young generation; default: that of the collector's unit. */
  semiSpaceMib?: number;
  /** Flags of Node, such as those of its profiler. */
  nodeFlags?: string[];
  /** True if `memory` will be called. */
  measuresMemory?: boolean;
  /** Default: a free port. */
  port?: number;
  /** Certificate and key (PEM files), in place of a self-signed one. */
  certificate?: { certFile: string; keyFile: string };
  /** More settings, as flags of the command line. */
  flags?: readonly string[];
  /** Time in which it hands its agents over when it stops. */
  drainSeconds?: number;
}

export class Subject {
  readonly dataDir: string;
  /** URL for agents: `ws://` or `wss://`. */
  readonly url: string;
  readonly agentToken = AGENT_TOKEN;
  /** Certificate to trust; null without TLS. */
  readonly caFile: string | null;
  readonly #child: ChildProcess;
  readonly #said: () => string;
  readonly #store: string | null;
  readonly #stopMs: number;

  private constructor(
    child: ChildProcess,
    url: string,
    { dataDir, tls, store, drainSeconds = 0 }: SubjectOptions,
    said: () => string,
  ) {
    this.#child = child;
    this.#said = said;
    this.url = url;
    this.dataDir = dataDir;
    this.#store = store ?? null;
    this.#stopMs = STOP_TIMEOUT_MS + drainSeconds * 1000;
    this.caFile = tls ? join(dataDir, 'self_signed.crt') : null;
  }

  /** Starts it. Throws with its output if it does not listen in time. */
  static async start(options: SubjectOptions): Promise<Subject> {
    const { dataDir, tls, store, nodeFlags = [], measuresMemory = false, port = 0, certificate } = options;
    const probe = measuresMemory ? ['--expose-gc', '--import', MEMORY_PROBE] : [];
    const argv = ['collector', '--listen', `127.0.0.1:${port}`, '--data-dir', dataDir, '--log-level', 'warn'];
    argv.push('--max-connections', String(MAX_CONNECTIONS), ...(tls ? ['--tls-self-signed'] : []));
    if (certificate !== undefined) {
      argv.push('--tls-cert-file', certificate.certFile, '--tls-key-file', certificate.keyFile);
    }
    if (options.drainSeconds !== undefined) argv.push('--drain-seconds', String(options.drainSeconds));
    if (store !== undefined) argv.push('--store', store);
    argv.push(...(options.flags ?? []));
    const heap = `--max-semi-space-size=${options.semiSpaceMib ?? SEMI_SPACE_MIB}`;
    const child = spawn(process.execPath, [...LAUNCHER_FLAGS, heap, ...probe, ...nodeFlags, MAIN, ...argv], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: { ...process.env, IMDSWATCH_AGENT_TOKEN: AGENT_TOKEN },
    });
    let said = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk;
    });
    const late = AbortSignal.timeout(START_TIMEOUT_MS);
    try {
      const [message] = (await Promise.race([
        once(child, 'message', { signal: late }),
        once(child, 'exit', { signal: late }).then(([code]) => {
          throw new Error(`it ended with ${code}`);
        }),
      ])) as [{ listening: string }];
      return new Subject(child, message.listening, options, () => said);
    } catch (error) {
      child.kill('SIGKILL');
      throw new Error(`the collector did not start: ${(error as Error).message}\n${said}`);
    }
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get apiUrl(): string {
    return this.url.replace(/^ws/, 'http');
  }

  /** Returns the secret of a new token, which is made in the collector's files like that of an admin. */
  async personToken(role: 'viewer' | 'admin'): Promise<string> {
    const argv = ['token', 'create', '--kind', 'person', '--role', role, '--name', 'benchmark'];
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...LAUNCHER_FLAGS,
      MAIN,
      ...argv,
      '--data-dir',
      this.dataDir,
      ...(this.#store === null ? [] : ['--store', this.#store]),
    ]);
    return stdout.trim();
  }

  /** Returns the memory after a garbage collection in every thread. Throws if it does not answer in time. */
  async memory(): Promise<MemoryAnswer['memory']> {
    const answered = once(this.#child, 'message', { signal: AbortSignal.timeout(MEMORY_TIMEOUT_MS) });
    this.#child.send('memory');
    const [answer] = (await answered) as [MemoryAnswer];
    return answer.memory;
  }

  usage(): Usage {
    return processUsage(this.#child.pid!);
  }

  /** Ends it in order. Returns its output on stderr. Throws if it failed or had to be killed. */
  async stop(): Promise<string> {
    if (this.isRunning) {
      const exited = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), this.#stopMs);
      await exited;
      clearTimeout(timer);
    }
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== 0) {
      throw new Error(`the collector ended with ${signalCode ?? exitCode}: ${this.#said()}`);
    }
    return this.#said();
  }

  /** Kills it. */
  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

/** Returns the bytes on disk of a stopped collector. */
export async function storeAtRest(dataDir: string): Promise<{ calls: number; bytes: number }> {
  const store = openStoreForReading(dataDir);
  try {
    const { calls } = await store.statistics();
    return { calls, bytes: databaseBytes(dataDir) };
  } finally {
    await store.close();
  }
}

/** Returns the bytes of the findings' database with its write-ahead log. */
export function databaseBytes(dataDir: string): number {
  return readdirSync(dataDir)
    .filter((name) => name.startsWith('imdswatch.db'))
    .reduce((sum, name) => sum + statSync(join(dataDir, name)).size, 0);
}
