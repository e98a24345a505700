/** Runs the lab's long-running callers. Each reports on stdout which socket of its own it calls from. */

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import * as z from 'zod';
import type { Lab, LabProcess } from './lab.ts';
import type { Programs } from './programs.ts';

const SERVICES_DIR = join(import.meta.dirname, 'services');
const START_TIMEOUT_MS = 60_000;

/** A line of a service's stdout. */
const report = z.union([
  z.object({ listening: z.int() }),
  z.object({
    port: z.int(),
    method: z.string(),
    target: z.string(),
    caller: z.object({ address: z.string(), port: z.int() }).optional(),
  }),
]);

export interface ReportedCall {
  port: number;
  method: string;
  target: string;
  /** Set by the proxy only: the client of the request that it forwarded, as the proxy sees it. */
  caller?: { address: string; port: number } | undefined;
}

export interface LabService {
  readonly name: string;
  readonly pid: number;
  readonly executable: string;
  readonly script: string;
  /** The calls that the service has reported so far; complete once it has been stopped. */
  readonly reported: readonly ReportedCall[];
  /** Port on the lab's host; for the web app (on the loopback) and the proxy only. */
  readonly listening: number | null;
  /** Resolves to its exit code when it has ended; null if a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Rejects if a line of the service's output was no report: then `reported` is incomplete. */
  stop(): Promise<void>;
}

/** Starts a service from before IMDSv2 that calls every `intervalS` seconds. Resolves once it has called. */
export function startLegacyPoller(lab: Lab, programs: Programs, intervalS: number): Promise<LabService> {
  return start(lab, 'legacy-poller', programs.python3, 'legacy_poller.py', [String(intervalS)]);
}

/** Starts a service that uses a session token. Resolves once it has called. */
export function startModernService(lab: Lab, programs: Programs, intervalS: number): Promise<LabService> {
  return start(lab, 'modern-service', programs.python3, 'modern_service.py', [String(intervalS)]);
}

/** Starts a job from before IMDSv2 that ends when it was given the instance id. Resolves once it has called. */
export function startBackupJob(lab: Lab, programs: Programs): Promise<LabService> {
  return start(lab, 'backup-job', programs.python3, 'backup_job.py', []);
}

/**
 * Starts a web app that can be tricked by `http://127.0.0.1:LISTENING/fetch?url=…`. Resolves once it listens.
 */
export function startWebApp(lab: Lab, programs: Programs): Promise<LabService> {
  return start(lab, 'web-app', programs.node, 'web_app.ts', []);
}

/** Starts a proxy for metadata requests; `redirectPodToProxy` sends them to it. Resolves once it listens. */
export function startLocalProxy(lab: Lab, programs: Programs): Promise<LabService> {
  return start(lab, 'local-proxy', programs.node, 'local_proxy.ts', []);
}

async function start(
  lab: Lab,
  name: string,
  interpreter: string,
  file: string,
  args: string[],
): Promise<LabService> {
  const script = join(SERVICES_DIR, file);
  const running: LabProcess = lab.spawn([interpreter, script, ...args]);
  const reported: ReportedCall[] = [];
  let listening: number | null = null;
  let stderr = '';
  let strayLine: Error | null = null;
  running.child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const { promise: up, resolve, reject } = Promise.withResolvers<void>();
  const lines = createInterface({ input: running.child.stdout! });
  lines.on('line', (line) => {
    const read = readReport(line);
    if (read === null) {
      strayLine ??= new Error(`${name} printed ${JSON.stringify(line)}, which is not a report.`);
      return reject(strayLine);
    }
    if ('listening' in read) listening = read.listening;
    else reported.push(read);
    resolve();
  });
  const timer = setTimeout(() => reject(new Error(`${name} did not start in time`)), START_TIMEOUT_MS);
  void running.exited.then(({ status, signal }) =>
    reject(new Error(`${name} ended (${signal ?? status}): ${stderr.trim()}`)),
  );
  try {
    await up;
  } finally {
    clearTimeout(timer);
  }
  return {
    name,
    pid: running.pid,
    executable: interpreter,
    script,
    reported,
    ended: running.exited.then(({ status }) => status),
    get listening() {
      return listening;
    },
    async stop() {
      await running.stop();
      if (strayLine !== null) throw strayLine;
    },
  };
}

/** Returns null for a line that is not a report. */
function readReport(line: string): z.infer<typeof report> | null {
  try {
    return report.parse(JSON.parse(line));
  } catch {
    return null;
  }
}
