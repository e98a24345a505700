/** Runs the `imdswatch watch --json` that is measured, and reads its output and its cost. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Lab } from '../../lab/lab.ts';
import type { Call } from '../../protocol/call.ts';
import { Watcher } from '../../test/support/lab/watcher.ts';
import { UNIT_CAPABILITIES } from '../../test/support/unit_capabilities.ts';

const MAIN = join(import.meta.dirname, '../../cli/main.ts');
/** Flags of the launcher. */
const RUNTIME = [process.execPath, '--disable-warning=ExperimentalWarning'] as const;
/** A call is reported a quarter of a second after its connection ended without an answer. */
const SETTLE_TIMEOUT_MS = 8_000;
/** Wait for calls that are printed twice or were never made. */
const QUIET_MS = 600;

export type Mode = 'ebpf' | 'tracepoint' | 'proc';

/** Processor time and resident memory of a process, all its threads together. */
export interface Usage {
  cpuUs: number;
  /** Times at which a thread gave the processor up to wait. */
  waits: number;
  residentKib: number;
  residentPeakKib: number;
}

/** Options say how the watch is run. */
export interface Runtime {
  compileCache: string;
  /** With the capabilities of the shipped unit, instead of all. */
  asUnit: boolean;
}

export class Subject {
  readonly lab: Lab;
  readonly #watcher: Watcher;
  readonly #latenciesMs: number[] = [];

  private constructor(lab: Lab, watcher: Watcher) {
    this.lab = lab;
    this.#watcher = watcher;
  }

  /** Starts the watch in the lab, with the compile cache that the launcher makes at set-up. */
  static async start(lab: Lab, mode: Mode, { compileCache, asUnit }: Runtime): Promise<Subject> {
    const env = { NODE_COMPILE_CACHE: compileCache };
    // Other labs and containers of this machine are not part of the measured load.
    const prefix = asUnit ? UNIT_CAPABILITIES : [];
    const argv = [
      ...prefix,
      ...RUNTIME,
      MAIN,
      'watch',
      '--json',
      '--attribution',
      mode,
      '--max-namespaces',
      '0',
    ];
    const subject = new Subject(lab, await Watcher.start(lab, argv, env));
    subject.#watcher.onCall = ({ time, duration_ms }) => {
      if (duration_ms !== null) subject.#latenciesMs.push(Date.now() - Date.parse(time) - duration_ms);
    };
    return subject;
  }

  static async warmCompileCache(compileCache: string): Promise<void> {
    const [program, ...flags] = [...RUNTIME, MAIN, '--warm-compile-cache'];
    await promisify(execFile)(program!, flags, {
      env: { ...process.env, NODE_COMPILE_CACHE: compileCache },
    });
  }

  /** Waits for `count` calls, or as long as calls may come. Returns the printed calls and forgets them. */
  async takeCalls(count: number): Promise<Call[]> {
    await this.#watcher.settle(count, SETTLE_TIMEOUT_MS);
    await sleep(QUIET_MS);
    if (this.#watcher.invalid.length > 0) {
      throw new Error(`watch printed what is no call: ${this.#watcher.invalid[0]}`);
    }
    return this.#watcher.calls.splice(0);
  }

  /** Returns the milliseconds from each answer to its line, since the last call. */
  takeLatencies(): number[] {
    return this.#latenciesMs.splice(0);
  }

  usage(): Usage {
    const { pid } = this.#watcher;
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const kib = (field: string) => Number(new RegExp(`^${field}:\\s*(\\d+) kB$`, 'm').exec(status)?.[1]);
    return {
      cpuUs: cpuUs(pid),
      waits: waitsOf(pid),
      residentKib: kib('VmRSS'),
      residentPeakKib: kib('VmHWM'),
    };
  }

  /** Ends the watch. Returns its losses, which it prints on stderr. */
  async stop(): Promise<string> {
    const { status, signal } = await this.#watcher.stop();
    if (status !== 0) throw new Error(`watch ended with ${signal ?? status}: ${this.#watcher.complaints}`);
    return this.#watcher.complaints.trim();
  }
}

/**
 * Returns the first field of schedstat: nanoseconds on a processor. In stat they are hundredths of a second.
 */
function cpuUs(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]);
  }
  return nanoseconds / 1_000;
}

function waitsOf(pid: number): number {
  let waits = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'latin1');
    waits += Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1]);
  }
  return waits;
}
