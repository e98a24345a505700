/**
 * Runs many simulated agents in a process of their own. The benchmark sends an `Order`, and gets a `Report`
 * of the work since the last one.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostOf } from './fleet.ts';
import { obey } from './forked.ts';
import { Latencies, type Spread } from './latencies.ts';
import { makeScript } from './script.ts';
import { type Doings, SimulatedAgent } from './simulated_agent.ts';

export type Order =
  | {
      do: 'connect';
      agents: number;
      /** The agents are spread evenly over the collectors. */
      urls: string[];
      token: string;
      caFile: string | null;
      newProcessShare: number;
      maxInFlight: number;
    }
  /** The agents send as much as they may. All of it is acknowledged at the end. */
  | { do: 'saturate'; forMs: number }
  /** `callsAtOnce`: calls that an agent makes at one moment, and sends in one batch; default: 1. */
  | { do: 'pace'; callsPerSecond: number; callsAtOnce?: number; forMs: number }
  /** The agents send heartbeats and coverage, each at its own moment of the interval. */
  | { do: 'idle'; forMs: number; heartbeatMs: number; coverageMs: number }
  /**
   * Calls as in `pace` with the reports of `idle`, while one agent after the other disconnects and connects
   * again.
   */
  | {
      do: 'mix';
      forMs: number;
      callsPerSecond: number;
      heartbeatMs: number;
      coverageMs: number;
      reconnectMs: number;
    }
  | { do: 'stop' };

export interface Report {
  seconds: number;
  given: number;
  calls: number;
  bytes: number;
  frames: number;
  acknowledged: number;
  rejected: number;
  heartbeats: number;
  reconnects: number;
  /** Records that were not acknowledged `DRAIN_MS` after the end of the load. */
  unacknowledged: number;
  failures: string[];
  /** Times of every acknowledged batch and call, also after the end. */
  acknowledgement: Spread | null;
  delivery: Spread | null;
  /** Everything that was acknowledged, also after the end. */
  totalAcknowledged: number;
  totalSeconds: number;
  /** Processor time of this process within `totalSeconds`. */
  cpuSeconds: number;
}

/** Number of connections that are opened at one time. */
const CONNECT_AT_ONCE = 50;
const CONNECT_HEARTBEAT_MS = 20_000;
const SCRIPTS = 8;
const STEP_MS = 2;
const DRAIN_MS = 30_000;

const agents: SimulatedAgent[] = [];
const doings: Doings = newDoings();
let reconnects = 0;
let nextToLeave = 0;

function newDoings(): Doings {
  return {
    given: 0,
    sentCalls: 0,
    sentBytes: 0,
    frames: 0,
    acknowledgedCalls: 0,
    rejected: 0,
    heartbeats: 0,
    failures: [],
    acknowledgement: null,
    delivery: null,
  };
}

async function connect(order: Extract<Order, { do: 'connect' }>): Promise<void> {
  const ca = order.caFile === null ? null : readFileSync(order.caFile, 'utf8');
  const scripts = Array.from({ length: Math.min(SCRIPTS, order.agents) }, (_, seed) =>
    makeScript(seed + 1, order.newProcessShare),
  );
  let heardMs = performance.now();
  for (let first = agents.length; first < order.agents; first += CONNECT_AT_ONCE) {
    const count = Math.min(CONNECT_AT_ONCE, order.agents - first);
    const some = Array.from({ length: count }, (_, index) => {
      const number = first + index + 1;
      return new SimulatedAgent({
        ...order,
        url: order.urls[number % order.urls.length]!,
        ca,
        number,
        host: hostOf(number),
        stream: `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`,
        script: scripts[number % scripts.length]!,
        doings,
      });
    });
    await Promise.all(some.map((agent) => agent.connect()));
    agents.push(...some);
    if (performance.now() - heardMs < CONNECT_HEARTBEAT_MS) continue;
    // Without heartbeats the collector would take the agents that are connected already for dead.
    for (const agent of agents) agent.heartbeat();
    heardMs = performance.now();
  }
}

/** Runs the load. The figures are of its time. Everything in it is acknowledged before this returns. */
async function measured(forMs: number, load: (untilMs: number) => Promise<void>): Promise<Report> {
  const begin = { ...doings };
  const reconnectsBefore = reconnects;
  const cpu = process.cpuUsage();
  const acknowledgement = new Latencies();
  const delivery = new Latencies();
  Object.assign(doings, { acknowledgement, delivery });
  const beganMs = performance.now();
  await load(beganMs + forMs);
  const seconds = (performance.now() - beganMs) / 1000;
  const end = { ...doings };
  const drainedBy = performance.now() + DRAIN_MS;
  while (agents.some(({ waiting }) => waiting > 0) && performance.now() < drainedBy) await sleep(10);
  const totalSeconds = (performance.now() - beganMs) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  Object.assign(doings, { acknowledgement: null, delivery: null });
  return {
    seconds,
    given: end.given - begin.given,
    calls: end.sentCalls - begin.sentCalls,
    bytes: end.sentBytes - begin.sentBytes,
    frames: end.frames - begin.frames,
    acknowledged: end.acknowledgedCalls - begin.acknowledgedCalls,
    rejected: doings.rejected - begin.rejected,
    heartbeats: end.heartbeats - begin.heartbeats,
    reconnects: reconnects - reconnectsBefore,
    unacknowledged: agents.reduce((sum, { waiting }) => sum + waiting, 0),
    failures: doings.failures.splice(0),
    acknowledgement: acknowledgement.spread(),
    delivery: delivery.spread(),
    totalAcknowledged: doings.acknowledgedCalls - begin.acknowledgedCalls,
    totalSeconds,
    cpuSeconds: (user + system) / 1e6,
  };
}

async function saturate(untilMs: number): Promise<void> {
  for (const agent of agents) agent.setBacklog(true);
  await sleep(Math.max(0, untilMs - performance.now()));
  for (const agent of agents) agent.setBacklog(false);
}

/**
 * Makes calls in a steady stream, one agent after the other. A late step makes up for it, and its calls count
 * as late.
 */
async function pace(callsPerSecond: number, untilMs: number, callsAtOnce = 1): Promise<void> {
  const beganMs = performance.now();
  let given = 0;
  while (performance.now() < untilMs) {
    const due = ((performance.now() - beganMs) / 1000) * callsPerSecond;
    for (; given < due; given += callsAtOnce) {
      const agent = agents[(given / callsAtOnce) % agents.length]!;
      const madeMs = beganMs + (given / callsPerSecond) * 1000;
      for (let call = 0; call < callsAtOnce; call += 1) agent.give(madeMs);
    }
    await sleep(STEP_MS);
  }
}

async function idle(
  { heartbeatMs, coverageMs }: { heartbeatMs: number; coverageMs: number },
  untilMs: number,
) {
  const beganMs = performance.now();
  let steps = 0;
  while (performance.now() < untilMs) {
    const due = Math.floor((performance.now() - beganMs) / STEP_MS);
    for (; steps < due; steps += 1) {
      for (const agent of dueAt(steps, heartbeatMs)) agent.heartbeat();
      for (const agent of dueAt(steps, coverageMs)) agent.coverage(coverageMs);
    }
    await sleep(STEP_MS);
  }
}

async function mix(order: Extract<Order, { do: 'mix' }>, untilMs: number): Promise<void> {
  await Promise.all([
    pace(order.callsPerSecond, untilMs),
    idle(order, untilMs),
    comeAndGo(order.reconnectMs, untilMs),
  ]);
}

/** Half of them close the connection in order, the others are cut off. */
async function comeAndGo(everyMs: number, untilMs: number): Promise<void> {
  while (performance.now() + everyMs < untilMs) {
    await sleep(everyMs);
    const index = nextToLeave++ % agents.length;
    const leaving = agents[index]!;
    if (nextToLeave % 2 === 0) leaving.cut();
    else leaving.close();
    const coming = leaving.successor();
    await coming.connect();
    agents[index] = coming;
    reconnects += 1;
  }
}

/** Returns the agents whose turn is in this step, when all are spread evenly over an interval. */
function dueAt(step: number, intervalMs: number): SimulatedAgent[] {
  const steps = Math.round(intervalMs / STEP_MS);
  const turn = step % steps;
  const from = Math.floor((agents.length * turn) / steps);
  return agents.slice(from, Math.floor((agents.length * (turn + 1)) / steps));
}

async function obeyOrder(order: Order): Promise<Report> {
  switch (order.do) {
    case 'connect':
      return measured(0, () => connect(order));
    case 'saturate':
      return measured(order.forMs, saturate);
    case 'pace':
      return measured(order.forMs, (untilMs) => pace(order.callsPerSecond, untilMs, order.callsAtOnce));
    case 'idle':
      return measured(order.forMs, (untilMs) => idle(order, untilMs));
    case 'mix':
      return measured(order.forMs, (untilMs) => mix(order, untilMs));
    case 'stop':
      return measured(0, async () => {
        for (const agent of agents.splice(0)) agent.close();
      });
  }
}

obey(obeyOrder);
