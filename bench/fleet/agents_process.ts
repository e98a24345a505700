/** Runs all simulated agents, in a process of their own, from their first connection until `stop`. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostOf } from '../collector/fleet.ts';
import { obey } from '../collector/forked.ts';
import { Latencies, type Spread } from '../collector/latencies.ts';
import { type Doings, FleetAgent } from './fleet_agent.ts';

export type AgentsOrder =
  /** The agents start one after the other, evenly within `withinMs`. From then on they go on by themselves. */
  | { do: 'start'; url: string; token: string; caFile: string | null; agents: number; withinMs: number }
  /** Sets the rate of calls of all agents together. */
  | { do: 'call'; perSecond: number }
  /** Begins to count anew. */
  | { do: 'count' }
  | { do: 'report' }
  /** Ends the calls, and waits until everything is acknowledged. */
  | { do: 'settle'; forMs: number }
  | { do: 'stop' };

/** Counts since `count`, and the present state. */
export interface AgentsReport {
  connected: number;
  welcomes: number;
  enrolments: number;
  handedOver: number;
  ends: Record<string, number>;
  heartbeats: number;
  batches: number;
  resent: number;
  /** Bytes of frames, without those of WebSocket, TLS and TCP. */
  bytes: number;
  /** Calls since the start. */
  calls: number;
  acknowledgedCalls: number;
  acknowledgedRecords: number;
  rejected: number;
  unacknowledged: number;
  /** Milliseconds since 1970. */
  lastWelcomeMs: number;
  acknowledgement: Spread | null;
  away: Spread | null;
  cpuSeconds: number;
}

const STEP_MS = 5;

const agents: FleetAgent[] = [];
const linkCounters = { bytes_sent: 0, invalid_frames: 0, half_open: 0 };
const doings: Doings = {
  connected: 0,
  welcomes: 0,
  enrolments: 0,
  handedOver: 0,
  ends: new Map(),
  heartbeats: 0,
  batches: 0,
  resent: 0,
  calls: 0,
  acknowledgedCalls: 0,
  acknowledgedRecords: 0,
  rejected: 0,
  lastWelcomeMs: 0,
  acknowledgement: new Latencies(),
  away: new Latencies(),
};
let callsPerSecond = 0;
let since = { ...doings, ends: new Map(doings.ends), bytes: 0, cpu: process.cpuUsage() };

async function start(order: Extract<AgentsOrder, { do: 'start' }>): Promise<void> {
  const ca = order.caFile === null ? null : readFileSync(order.caFile, 'utf8');
  const beganMs = performance.now();
  for (let number = 1; number <= order.agents; number += 1) {
    const waitMs = beganMs + (order.withinMs * number) / order.agents - performance.now();
    if (waitMs > STEP_MS) await sleep(waitMs);
    const { url, token } = order;
    const agent = new FleetAgent({ url, token, ca, number, host: hostOf(number), doings, linkCounters });
    agents.push(agent);
    agent.start();
  }
}

/** Makes the calls of all agents, one agent after the other. */
async function call(): Promise<void> {
  let next = 0;
  let due = 0;
  for (let beforeMs = performance.now(); ; ) {
    await sleep(STEP_MS);
    const nowMs = performance.now();
    due = callsPerSecond === 0 ? 0 : due + ((nowMs - beforeMs) / 1000) * callsPerSecond;
    beforeMs = nowMs;
    for (; due >= 1; due -= 1) agents[next++ % agents.length]!.call();
  }
}

async function settle(forMs: number): Promise<void> {
  callsPerSecond = 0;
  const untilMs = performance.now() + forMs;
  while (agents.some(({ unacknowledged }) => unacknowledged > 0) && performance.now() < untilMs) {
    await sleep(50);
  }
}

function count(): void {
  doings.acknowledgement = new Latencies();
  doings.away = new Latencies();
  since = {
    ...doings,
    ends: new Map(doings.ends),
    bytes: linkCounters.bytes_sent,
    cpu: process.cpuUsage(),
  };
}

function report(): AgentsReport {
  const { user, system } = process.cpuUsage(since.cpu);
  const grown = (key: 'welcomes' | 'enrolments' | 'handedOver' | 'heartbeats' | 'batches' | 'resent') =>
    doings[key] - since[key];
  const ends = [...doings.ends].map(([reason, times]) => [reason, times - (since.ends.get(reason) ?? 0)]);
  return {
    connected: doings.connected,
    welcomes: grown('welcomes'),
    enrolments: grown('enrolments'),
    handedOver: grown('handedOver'),
    ends: Object.fromEntries(ends.filter(([, times]) => times !== 0)),
    heartbeats: grown('heartbeats'),
    batches: grown('batches'),
    resent: grown('resent'),
    bytes: linkCounters.bytes_sent - since.bytes,
    calls: doings.calls,
    acknowledgedCalls: doings.acknowledgedCalls,
    acknowledgedRecords: doings.acknowledgedRecords,
    rejected: doings.rejected,
    unacknowledged: agents.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0),
    lastWelcomeMs: doings.lastWelcomeMs,
    acknowledgement: doings.acknowledgement.spread(),
    away: doings.away.spread(),
    cpuSeconds: (user + system) / 1e6,
  };
}

obey(async (order: AgentsOrder): Promise<AgentsReport> => {
  switch (order.do) {
    case 'start':
      await start(order);
      void call();
      break;
    case 'call':
      callsPerSecond = order.perSecond;
      break;
    case 'count':
      count();
      break;
    case 'settle':
      await settle(order.forMs);
      break;
    case 'stop':
      for (const agent of agents.splice(0)) agent.stop();
      break;
    case 'report':
      break;
  }
  return report();
});
