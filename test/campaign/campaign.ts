/** One campaign from its plan to its table. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readState } from '../../agent/outbox/state_file.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import { explain } from './explain.ts';
import { carryOut } from './faults.ts';
import {
  type AnsweredCall,
  isIn,
  judge,
  judgeSums,
  type Span,
  type StoredCall,
  type Table,
} from './judge.ts';
import { describeFault, FAULT_KINDS, type Fault, makePlan } from './plan.ts';
import { answeredCalls, Questions } from './questions.ts';
import { type BegunFault, type Share, type SharedCall, sharesOf } from './shares.ts';
import { Stage } from './stage.ts';

export interface CampaignOptions {
  seed: number;
  lengthMs: number;
  perSecond: number;
  /** Part of the time in which a second agent rolls routine calls up, as by default. */
  rolledUpShare: number;
  say: (line: string) => void;
}

export interface CampaignResult {
  plan: Fault[];
  whole: Table;
  /** Findings of the second agent: its calls that travel one by one, and sums of the others. */
  rolledUp: { single: Table; sums: ReturnType<typeof judgeSums> };
  shares: Share[];
  /** States where unexplained calls lie between the gaps next to them. */
  explanations: string[];
  surprises: string[];
  verdict: string;
  logDir: string;
  close(keepLogs: boolean): Promise<void>;
}

const WHOLE_HOST = 'campaign-host';
const ROLLED_HOST = 'campaign-rolled';
/** Sums are compared with a log that must be complete: a service that is killed may not have said all it saw. */
const ROLLED_KINDS = FAULT_KINDS.filter((kind) => kind !== 'restart_service' && kind !== 'damage_spool');
const SETTLE_TIMEOUT_MS = 90_000;
const AROUND_MS = 200_000;
const QUIET_MS = 1_500;

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { seed, lengthMs, rolledUpShare, say } = options;
  const wholeMs = lengthMs * (1 - rolledUpShare);
  const plan = makePlan({ seed, lengthMs: wholeMs });
  const rolledPlan = makePlan({ seed: seed + 1, lengthMs: lengthMs - wholeMs, kinds: ROLLED_KINDS });
  const stage = await Stage.build(options);
  let isDone = false;
  try {
    const beganMs = Date.now();
    stage.collector.start();
    stage.agent.start();
    await untilReady(stage);
    const questions = await Questions.open(stage);
    const begun = await play(stage, plan, wholeMs, say);
    await settle(stage, say);
    const wholeSeen = await stage.seen();
    const surprises = [...stage.agent.surprises];

    stage.makeAgent(ROLLED_HOST, 'rolled_up').start();
    await untilReady(stage);
    begun.push(...(await play(stage, rolledPlan, lengthMs - wholeMs, say)));
    await settle(stage, say);
    await stage.endLoads();
    const rolledSeen = (await stage.seen()).slice(wholeSeen.length);
    surprises.push(...stage.agent.surprises, ...stage.collector.surprises);

    const [fromMs, toMs] = [beganMs - AROUND_MS, Date.now() + AROUND_MS];
    const whole = await judged(questions, WHOLE_HOST, wholeSeen, fromMs, toMs);
    const rolled = await judgedSums(questions, ROLLED_HOST, rolledSeen, fromMs, toMs);
    const { readiness } = await questions.host(WHOLE_HOST, beganMs, Date.now());
    writeFileSync(
      join(stage.logDir, 'findings.json'),
      JSON.stringify({ whole, rolled, begun, clockPeriods: stage.clockPeriods }),
    );
    isDone = true;
    return {
      plan: [...plan, ...rolledPlan],
      whole: whole.table,
      rolledUp: { single: rolled.table, sums: rolled.sums },
      explanations: [
        ...explain(whole.table.unexplained, whole.gaps),
        ...explain(rolled.table.unexplained, rolled.gaps),
      ],
      shares: sharesOf([...whole.fates, ...rolled.fates], stage.clockPeriods, begun),
      surprises,
      verdict: `${readiness.verdict}: ${readiness.reason}`,
      logDir: stage.logDir,
      close: (keepLogs) => stage.close(keepLogs),
    };
  } finally {
    if (!isDone) {
      say(`the logs are in ${stage.logDir}`);
      await stage.close(true);
    }
  }
}

async function play(
  stage: Stage,
  plan: readonly Fault[],
  lengthMs: number,
  say: (line: string) => void,
): Promise<BegunFault[]> {
  const begun: BegunFault[] = [];
  const beganMs = performance.now();
  stage.loads('go');
  for (const fault of plan) {
    await sleep(Math.max(0, beganMs + fault.atMs - performance.now()));
    if (performance.now() - beganMs > lengthMs) break;
    say(`${new Date().toISOString()} ${describeFault(fault)}`);
    begun.push({ kind: fault.kind, atMs: Date.now() });
    await carryOut(stage, fault);
  }
  await sleep(Math.max(0, beganMs + lengthMs - performance.now()));
  return begun;
}

/** Both are up, and the agent has reported to the collector. */
async function untilReady(stage: Stage): Promise<void> {
  await until(
    'agent and collector work together',
    () => (readState(stage.spoolDir)?.heartbeat.spool.records ?? -1) === 0,
  );
}

/** Ends the load, puts everything right, and waits until all that was seen is delivered and no time of a stepped clock is still to come. */
async function settle(stage: Stage, say: (line: string) => void): Promise<void> {
  stage.loads('pause');
  stage.setHostClock(0);
  stage.collectorClock.set(0);
  stage.agent.start();
  stage.collector.start();
  await sleep(QUIET_MS);
  const lastMs = Math.max(...(await stage.seen()).map(({ time }) => Date.parse(time)));
  const startedMs = Date.now();
  await until('all is delivered', () => {
    const state = readState(stage.spoolDir)?.heartbeat;
    if (state === undefined || Date.parse(state.time) < startedMs) return false;
    return state.spool.records === 0 && Date.now() > lastMs;
  });
  // The last report of an orderly end covers everything until now.
  await stage.agent.end('SIGTERM');
  say('settled');
}

async function until(event: string, condition: () => boolean): Promise<void> {
  const endMs = performance.now() + SETTLE_TIMEOUT_MS;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${SETTLE_TIMEOUT_MS} ms: ${event}`);
    await sleep(100);
  }
}

async function judged(
  questions: Questions,
  hostId: string,
  seen: readonly SeenRequest[],
  fromMs: number,
  toMs: number,
) {
  const answered = answeredCalls(seen);
  const stored = await questions.calls(hostId, fromMs, toMs);
  const gaps = await questions.gaps(hostId, Date.now());
  const { heartbeat } = await questions.host(hostId, fromMs, toMs);
  const overflowedV2 = heartbeat?.spool.overflowed['v2'] ?? 0;
  const table = judge({ answered, stored, gaps, overflowedV2 });
  return { answered, stored, gaps, table, fates: fatesOf(answered, stored, gaps) };
}

async function judgedSums(
  questions: Questions,
  hostId: string,
  seen: readonly SeenRequest[],
  fromMs: number,
  toMs: number,
) {
  const answered = answeredCalls(seen);
  const stored = await questions.calls(hostId, fromMs, toMs);
  const gaps = await questions.gaps(hostId, Date.now());
  const { readiness } = await questions.host(hostId, fromMs, toMs);
  const single = answered.filter(({ version }) => version === 1);
  const table = judge({ answered: single, stored, gaps, overflowedV2: 0 });
  // IMDSv2 calls that are stored one by one have their own version: they are in no list of `single`.
  const seenV2 = seen.filter(({ version }) => version === 2).length;
  const sums = judgeSums({
    answered: answered.filter(({ version }) => version === 2),
    seen: seenV2,
    counted: readiness.calls_v2,
    gaps,
  });
  return { answered, stored, gaps, table, sums, fates: fatesOf(single, stored, gaps) };
}

function fatesOf(
  answered: readonly AnsweredCall[],
  stored: readonly StoredCall[],
  gaps: readonly Span[],
): SharedCall[] {
  const numbers = new Set(stored.map(({ number }) => number));
  return answered.map((call) => {
    if (!numbers.has(call.number)) return { call, fate: 'missing' };
    return { call, fate: isIn(gaps, call.timeMs) ? 'stored in a gap' : 'stored' };
  });
}
