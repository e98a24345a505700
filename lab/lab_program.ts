/** A program that runs in a lab: how it is started, followed and ended. */
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { OperatorError } from '../common/operator_error.ts';
import { endNow } from './namespaces.ts';

const STOP_GRACE_MS = 3000;
const RUN_TIMEOUT_MS = 30_000;

export interface SpawnOptions {
  env?: Record<string, string>;
  cwd?: string;
  /**
   * `pod`: one hop behind the host, like a container on a bridge. A namespace: one of `addNamespace`. Default
   * `host`.
   */
  from?: 'host' | 'pod' | { namespace: string };
  /** Default `pipe`. `inherit` shows its output where ours goes. */
  stdio?: StdioOptions;
}

export interface RunOptions extends SpawnOptions {
  input?: string;
  /** After this many milliseconds the program and its children are killed. Default 30,000. */
  timeoutMs?: number;
}

export interface RunResult {
  /** Pid of the program itself. */
  pid: number;
  /** Null when a signal ended it. */
  status: number | null;
  stdout: string;
  stderr: string;
  startedAt: Date;
  endedAt: Date;
}

/** A program that runs in the lab. */
export interface LabProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Resolves when it has ended and its output is complete. */
  readonly exited: Promise<{ status: number | null; signal: NodeJS.Signals | null }>;
  /**
   * Sends `signal`, by default SIGTERM. After `graceMs`, by default 3,000, SIGKILL is sent to its whole
   * process group. Then nothing waits for its output: a child in another session may hold it open until the
   * lab closes.
   */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<void>;
}

/** Returns an environment without the operator's own settings: no AWS_* variables, no proxies, no dot files. */
export function labEnvironment(home: string, extra: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: home,
    // Other labs on this machine are ignored.
    IMDSWATCH_MAX_NAMESPACES: '0',
    // The ground truth holds the calls of the lab's programs. An agent's own requests are switched on by the
    // tests of them.
    IMDSWATCH_IDENTITY_FROM_IMDS: 'off',
    TMPDIR: home,
    LANG: 'C.UTF-8',
    ...extra,
  };
}

/** Follows a program that was started by `nsenter`. `onEnd` is called when it has ended. */
export function followProgram(child: ChildProcess, onEnd: () => void): LabProcess {
  const pid = child.pid;
  if (pid === undefined) {
    child.once('error', () => {});
    throw new OperatorError(3, 'The program `nsenter` is missing: install the package util-linux.');
  }
  // `close` is emitted after the end of the output, and also if the program could not be run.
  const exited = once(child, 'close').then(([status, signal]) => {
    onEnd();
    return { status, signal } as { status: number | null; signal: NodeJS.Signals | null };
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM', graceMs = STOP_GRACE_MS) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    const timer = setTimeout(() => endGroup(child), graceMs);
    await exited;
    clearTimeout(timer);
  };
  return { pid, child, exited, stop };
}

/** Starts a program and follows it to its end. Its status is for the caller to judge. */
export async function runToEnd(start: () => LabProcess, options: RunOptions): Promise<RunResult> {
  const startedAt = new Date();
  const started = start();
  const { child, pid } = started;
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk;
  });
  // A program may end without reading its input.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  const timer = setTimeout(() => endGroup(child), options.timeoutMs ?? RUN_TIMEOUT_MS);
  const { status } = await started.exited;
  clearTimeout(timer);
  return { pid, status, stdout, stderr, startedAt, endedAt: new Date() };
}

/** Kills a program with its process group, and closes its output. */
function endGroup(child: ChildProcess): void {
  if (child.pid !== undefined) endNow(-child.pid);
  child.stdout?.destroy();
  child.stderr?.destroy();
}
