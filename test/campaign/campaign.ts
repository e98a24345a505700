/** One campaign from its plan to its table. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readState } from '../../agent/outbox/state_file.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import { explain, type TimeInGaps, timeInGaps } from './explain.ts';
import { carryOut } from './faults.ts';
import {
  type AnsweredCall,
  addTables,
  isIn,
  judge,
  judgeSums,
  type Span,
  type StoredCall,
  type Table,
} from './judge.ts';
import { type Part, partsOf } from './parts.ts';
import { describeFault, type Fault } from './plan.ts';
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
  /** Share of the time that was in gaps, by host and reason. */
  gapTimes: { hostId: string; reasons: TimeInGaps[] }[];
  /** The runs of unexplained calls, each with the gaps next to it. */
  explanations: string[];
  surprises: string[];
  /** One line for each host. */
  verdicts: string[];
  logDir: string;
  close(keepLogs: boolean): Promise<void>;
}

const SETTLE_TIMEOUT_MS = 90_000;
const AROUND_MS = 200_000;
const QUIET_MS = 1_500;
/** Appear in the agent's log. */
const CONNECTED = '"msg":"connected"';
const NOT_CONNECTED = '"msg":"no connection to the collector';

export async function runCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { say } = options;
  const parts = partsOf(options);
  const stage = await Stage.build(options);
  let isDone = false;
  try {
    const beganMs = Date.now();
    stage.collector.start();
    const played: { part: Part; seen: SeenRequest[] }[] = [];
    const [begun, surprises]: [BegunFault[], string[]] = [[], []];
    let seenBefore = 0;
    for (const part of parts) {
      stage.makeAgent(part.hostId, part.detail).start();
      await untilReady(stage);
      begun.push(...(await play(stage, part.plan, part.lengthMs, say)));
      await settle(stage, say);
      const seen = await stage.seen();
      played.push({ part, seen: seen.slice(seenBefore) });
      seenBefore = seen.length;
      surprises.push(...stage.agent.surprises);
    }
    await stage.endLoads();
    surprises.push(...stage.collector.surprises);

    const questions = await Questions.open(stage);
    const [fromMs, toMs] = [beganMs - AROUND_MS, Date.now() + AROUND_MS];
    const judgedParts: (Awaited<ReturnType<typeof judged>> & { part: Part })[] = [];
    const verdicts: string[] = [];
    for (const { part, seen } of played) {
      judgedParts.push({ part, ...(await judged(questions, part, seen, fromMs, toMs)) });
      const { readiness } = await questions.host(part.hostId, beganMs, Date.now());
      verdicts.push(`${part.hostId}: ${readiness.verdict}: ${readiness.reason}`);
    }
    writeFileSync(
      join(stage.logDir, 'findings.json'),
      JSON.stringify({ judgedParts, begun, clockPeriods: stage.clockPeriods }),
    );
    const tablesOf = (detail: Part['detail']) =>
      addTables(judgedParts.filter(({ part }) => part.detail === detail).map(({ table }) => table));
    isDone = true;
    return {
      plan: parts.flatMap(({ plan }) => plan),
      whole: tablesOf('all'),
      rolledUp: { single: tablesOf('rolled_up'), sums: judgedParts.at(-1)!.sums },
      explanations: judgedParts.flatMap(({ table, gaps }) => explain(table.unexplained, gaps)),
      shares: sharesOf(
        judgedParts.flatMap(({ fates }) => fates),
        stage.clockPeriods,
        begun,
      ),
      gapTimes: judgedParts.map(({ part, answered, gaps }) => ({
        hostId: part.hostId,
        reasons: timeInGaps(gaps, answered),
      })),
      surprises,
      verdicts,
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
  const state = () => readState(stage.spoolDir)?.heartbeat;
  await until(
    'all is delivered',
    () => {
      const latest = state();
      if (latest === undefined || Date.parse(latest.time) < startedMs) return false;
      // Without a connection the last report would stay in the spool: no gap would be known before it.
      if (!stage.agent.saidAfter(CONNECTED, NOT_CONNECTED)) return false;
      return latest.spool.records === 0 && Date.now() > lastMs;
    },
    () => `${state()?.spool.records ?? 'an unknown number of'} records in the spool at ${state()?.time}`,
  );
  // The last report of an orderly end covers everything until now.
  await stage.agent.end('SIGTERM');
  say('settled');
}

async function until(
  event: string,
  condition: () => boolean,
  detail: () => string = () => '',
): Promise<void> {
  const endMs = performance.now() + SETTLE_TIMEOUT_MS;
  while (!condition()) {
    if (performance.now() > endMs)
      throw new Error(`not within ${SETTLE_TIMEOUT_MS} ms: ${event} ${detail()}`);
    await sleep(100);
  }
}

/** Judges a part. IMDSv1 calls are judged one by one, and IMDSv2 calls of an agent that rolls up by their sum. */
async function judged(
  questions: Questions,
  { hostId, detail }: Part,
  seen: readonly SeenRequest[],
  fromMs: number,
  toMs: number,
) {
  const all = answeredCalls(seen);
  const answered = detail === 'all' ? all : all.filter(({ version }) => version === 1);
  const stored = await questions.calls(hostId, fromMs, toMs);
  const gaps = await questions.gaps(hostId, Date.now());
  const { heartbeat, readiness } = await questions.host(hostId, fromMs, toMs);
  const overflowedV2 = heartbeat?.spool.overflowed['v2'] ?? 0;
  return {
    answered,
    stored,
    gaps,
    table: judge({ answered, stored, gaps, overflowedV2 }),
    fates: fatesOf(answered, stored, gaps),
    // IMDSv2 calls that are stored one by one have their own version: they are in no list of IMDSv1 calls.
    sums: judgeSums({
      answered: all.filter(({ version }) => version === 2),
      seen: seen.filter(({ version }) => version === 2).length,
      counted: readiness.calls_v2,
      gaps,
    }),
  };
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
