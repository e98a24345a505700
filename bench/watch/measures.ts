/** Runs the measures of one method of attribution, one after the other on the same watch. */
import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Lab } from '../../lab/lab.ts';
import { type Judgement, judge } from './judge.ts';
import { Load, type LoadShape, type Made } from './load.ts';
import { type Mode, type Runtime, Subject } from './subject.ts';

export const MEASURES = ['idle', 'one-shot', 'memory', 'cost', 'ceiling'] as const;
export type Measure = (typeof MEASURES)[number];

/** Limit of the metadata service for each network interface ("Quotas and limits", EC2 user guide). */
export const CEILING_PACKETS_PER_SECOND = 1_024;
/** Calls per second. The lab's service and one core can do far more, so the load itself does not limit. */
const STEADY_CALLS_PER_SECOND = 250;
const KEPT_ALIVE_CALLS_PER_SECOND = 500;
const CALLS_PER_KEPT_CONNECTION = 10;
const PACED_CALLS_PER_SECOND = 50;
/** New processes per second of the memory measure. */
const CALLERS_PER_SECOND = 400;
const CEILING_CALLS_PER_KEPT_CONNECTION = 100;

export interface Size {
  idleMs: number;
  curls: number;
  atOnce: number;
  oneShots: number;
  /**
   * Number of calls of the cost measure: 70 % on a connection of their own, 20 % kept alive, 10 % by a new
   * process.
   */
  costed: number;
  /** Number of processes of their own that call once each, before memory is measured. */
  callers: number;
  /** Number of calls by new processes at a pace at which the watch could sleep between them. */
  paced: number;
  ceilingSeconds: number;
}

export const FULL_SIZE: Size = {
  idleMs: 20_000,
  curls: 500,
  atOnce: 200,
  oneShots: 500,
  callers: 10_000,
  costed: 10_000,
  paced: 500,
  ceilingSeconds: 20,
};
/** The size of one of several rounds. The callers of the memory measure have made the code warm. */
export const ROUND_SIZE: Size = {
  idleMs: 5_000,
  curls: 100,
  atOnce: 50,
  oneShots: 100,
  callers: 10_000,
  costed: 3_000,
  paced: 200,
  ceilingSeconds: 3,
};
export const QUICK_SIZE: Size = {
  idleMs: 3_000,
  curls: 100,
  atOnce: 50,
  oneShots: 100,
  callers: 1_000,
  costed: 1_000,
  paced: 150,
  ceilingSeconds: 3,
};

export interface Cost extends Judgement {
  /** Processor time of the watch per call, without its time when idle. */
  cpu_us_per_call: number;
}

export interface Paced extends Judgement {
  /** Number of times that threads of the watch gave the processor up to wait, per call. */
  waits_per_call: number;
  /** Milliseconds from the answer to the line. */
  latency_ms_median: number;
  latency_ms_longest: number;
}

export interface Ceiling extends Judgement {
  /** Packets that the host sent on its interface, without the service's answers. */
  packets_sent_per_second: number;
  packets_captured_per_second: number;
  calls_per_second: number;
  cpu_percent: number;
}

export interface ModeResult {
  mode: Mode;
  resident_start_kib: number;
  idle_cpu_ms_per_minute?: number;
  one_shot?: { curl_sequential: Cost; curl_at_once: Judgement; static_c: Judgement };
  memory?: Judgement & { resident_kib: number };
  cost?: {
    one_connection: Cost;
    kept_alive: Cost;
    new_process: Cost;
    calls: number;
    paced: Paced;
    cpu_us_per_call: number;
    resident_kib: number;
    resident_peak_kib: number;
  };
  ceiling?: { one_connection: Ceiling; kept_alive: Ceiling };
  /** The losses that the watch printed at its end; empty without losses. */
  said: string;
}

export class Bench {
  readonly #lab: Lab;
  readonly #load: Load;
  readonly #subject: Subject;
  readonly #size: Size;
  #idleUsPerMs = 0;

  private constructor(lab: Lab, load: Load, subject: Subject, size: Size) {
    this.#lab = lab;
    this.#load = load;
    this.#subject = subject;
    this.#size = size;
  }

  static async run(
    lab: Lab,
    mode: Mode,
    measures: ReadonlySet<Measure>,
    size: Size,
    runtime: Runtime,
    progress: (what: string) => void,
  ): Promise<ModeResult> {
    const load = await Load.build(lab);
    const subject = await Subject.start(lab, mode, runtime);
    const bench = new Bench(lab, load, subject, size);
    const result: ModeResult = { mode, resident_start_kib: subject.usage().residentKib, said: '' };
    // The other figures subtract the cost of idling, so it is always measured, if only for a moment.
    progress('idle');
    const idle = await bench.#idle(measures.has('idle') ? size.idleMs : QUICK_SIZE.idleMs);
    if (measures.has('idle')) result.idle_cpu_ms_per_minute = idle;
    if (measures.has('one-shot')) {
      progress('one-shot callers');
      result.one_shot = await bench.#oneShot();
    }
    if (measures.has('memory')) {
      progress(`memory after ${size.callers} callers`);
      result.memory = await bench.#memory();
    }
    if (measures.has('cost')) {
      progress(`cost of ${size.costed} calls`);
      result.cost = await bench.#cost();
    }
    if (measures.has('ceiling')) {
      progress(`${CEILING_PACKETS_PER_SECOND} packets a second`);
      result.ceiling = await bench.#ceiling();
    }
    result.said = await subject.stop();
    return result;
  }

  async #idle(forMs: number): Promise<number> {
    const before = this.#subject.usage().cpuUs;
    const beganMs = performance.now();
    await sleep(forMs);
    this.#idleUsPerMs = (this.#subject.usage().cpuUs - before) / (performance.now() - beganMs);
    return this.#idleUsPerMs * 60;
  }

  async #oneShot(): Promise<NonNullable<ModeResult['one_shot']>> {
    const { curls, atOnce, oneShots } = this.#size;
    return {
      curl_sequential: await this.#costOf(() => this.#load.curls(curls, 1)),
      curl_at_once: await this.#judged(() => this.#load.curls(atOnce, atOnce)),
      static_c: await this.#judged(() => this.#load.oneShots(oneShots)),
    };
  }

  async #memory(): Promise<NonNullable<ModeResult['memory']>> {
    const shape = { calls: this.#size.callers, perSecond: CALLERS_PER_SECOND, callsPerConnection: 1 };
    const judgement = await this.#judged(() => this.#load.steady({ ...shape, byChildren: true }));
    return { ...judgement, resident_kib: this.#subject.usage().residentKib };
  }

  async #cost(): Promise<NonNullable<ModeResult['cost']>> {
    const { costed } = this.#size;
    const shape: LoadShape = {
      calls: costed * 0.7,
      perSecond: STEADY_CALLS_PER_SECOND,
      callsPerConnection: 1,
      byChildren: false,
    };
    const one_connection = await this.#costOf(() => this.#load.steady(shape));
    const new_process = await this.#costOf(() =>
      this.#load.steady({ ...shape, calls: costed * 0.1, byChildren: true }),
    );
    await this.#lab.metadata.set({ connection: 'keep-alive' });
    const kept_alive = await this.#costOf(() =>
      this.#load.steady({
        ...shape,
        calls: costed * 0.2,
        perSecond: KEPT_ALIVE_CALLS_PER_SECOND,
        callsPerConnection: CALLS_PER_KEPT_CONNECTION,
      }),
    );
    await this.#lab.metadata.reset();
    const paced = await this.#paced();
    const parts = [one_connection, kept_alive, new_process];
    const calls = parts.reduce((sum, part) => sum + part.calls, 0);
    const { residentKib, residentPeakKib } = this.#subject.usage();
    return {
      one_connection,
      kept_alive,
      new_process,
      paced,
      calls,
      cpu_us_per_call: parts.reduce((sum, part) => sum + part.cpu_us_per_call * part.calls, 0) / calls,
      resident_kib: residentKib,
      resident_peak_kib: residentPeakKib,
    };
  }

  async #ceiling(): Promise<NonNullable<ModeResult['ceiling']>> {
    const one_connection = await this.#atCeiling(1);
    await this.#lab.metadata.set({ connection: 'keep-alive' });
    const kept_alive = await this.#atCeiling(CEILING_CALLS_PER_KEPT_CONNECTION);
    await this.#lab.metadata.reset();
    return { one_connection, kept_alive };
  }

  /** Makes calls at a pace at which the host sends as many packets as the service's limit allows. */
  async #atCeiling(callsPerConnection: number): Promise<Ceiling> {
    const tried = { calls: 200, perSecond: 200, callsPerConnection, byChildren: false };
    const before = await this.#packets();
    await this.#judged(() => this.#load.steady(tried));
    const sentPerCall = ((await this.#packets()).sent - before.sent) / tried.calls;
    const perSecond = Math.ceil(CEILING_PACKETS_PER_SECOND / sentPerCall);

    const { cpuUs } = this.#subject.usage();
    const begin = await this.#packets();
    const beganMs = performance.now();
    let elapsedMs = 0;
    let end = begin;
    let spentUs = 0;
    const judgement = await this.#judged(async () => {
      const made = await this.#load.steady({
        ...tried,
        calls: perSecond * this.#size.ceilingSeconds,
        perSecond,
      });
      elapsedMs = performance.now() - beganMs;
      end = await this.#packets();
      spentUs = this.#subject.usage().cpuUs - cpuUs;
      return made;
    });
    const perElapsed = (count: number) => count / (elapsedMs / 1_000);
    return {
      ...judgement,
      packets_sent_per_second: perElapsed(end.sent - begin.sent),
      packets_captured_per_second: perElapsed(end.sent - begin.sent + end.received - begin.received),
      calls_per_second: perElapsed(judgement.calls),
      cpu_percent: spentUs / 10 / elapsedMs,
    };
  }

  async #paced(): Promise<Paced> {
    const waits = this.#subject.usage().waits;
    this.#subject.takeLatencies();
    const shape = { calls: this.#size.paced, perSecond: PACED_CALLS_PER_SECOND, callsPerConnection: 1 };
    const judgement = await this.#judged(() => this.#load.steady({ ...shape, byChildren: true }));
    const latencies = this.#subject.takeLatencies().sort((a, b) => a - b);
    return {
      ...judgement,
      waits_per_call: (this.#subject.usage().waits - waits) / judgement.calls,
      latency_ms_median: latencies[latencies.length >> 1] ?? Number.NaN,
      latency_ms_longest: latencies.at(-1) ?? Number.NaN,
    };
  }

  async #costOf(act: () => Promise<Made>): Promise<Cost> {
    const before = this.#subject.usage().cpuUs;
    const beganMs = performance.now();
    const judgement = await this.#judged(act);
    const spentUs = this.#subject.usage().cpuUs - before;
    const idleUs = this.#idleUsPerMs * (performance.now() - beganMs);
    return { ...judgement, cpu_us_per_call: (spentUs - idleUs) / judgement.calls };
  }

  async #judged(act: () => Promise<Made>): Promise<Judgement> {
    const { metadata } = this.#lab;
    const before = (await metadata.log()).length;
    const made = await act();
    const seen = (await metadata.waitFor(before + made.pids.size)).slice(before);
    return judge(made, seen, await this.#subject.takeCalls(made.pids.size));
  }

  async #packets(): Promise<{ sent: number; received: number }> {
    const argv = ['-n', this.#lab.hostNamespace, '-j', '-s', 'link', 'show', 'eth0'];
    const { stdout } = await promisify(execFile)('ip', argv);
    const [{ stats64 }] = JSON.parse(stdout);
    return { sent: stats64.tx.packets, received: stats64.rx.packets };
  }
}
