/**
 * A fleet in one process: outboxes of real agents, each with its spool, that send a steady stream of calls. Its one
 * argument is JSON (`FleetOrders`). Prints one JSON line a second (`FleetReport`). When its input ends, it makes no more
 * calls, prints until everything is acknowledged, and ends.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { Outbox, toCollector } from '../../agent/outbox/outbox.ts';
import { agentState, makeCall } from '../support/collector/calls.ts';

export interface FleetOrders {
  url: string;
  token: string;
  caFile: string;
  /** Directory of the spools. */
  directory: string;
  agents: number;
  callsPerSecond: number;
}

export interface FleetReport {
  /** Calls that were handed to the agents. */
  made: number;
  /** Calls that no collector has acknowledged yet. */
  waiting: number;
  connected: number;
  /** The longest time in which nothing was acknowledged while something waited, since the report before, in milliseconds. */
  longestPauseMs: number;
}

const STEP_MS = 50;
const SPOOL_BYTES = 64 * 2 ** 20;
const HEARTBEAT_MS = 5_000;
/** Everything must be acknowledged so soon after the last call. */
const DRAIN_MS = 120_000;

const orders = JSON.parse(process.argv[2]!) as FleetOrders;
const log = pino({ level: 'error' }, pino.destination({ dest: 2, sync: true }));

const outboxes = Array.from({ length: orders.agents }, (_, index) => {
  const host = { id: `i-${String(index).padStart(17, '0')}`, name: `host-${index}` };
  const spoolDir = join(orders.directory, String(index));
  const identity = { host, agentVersion: '0.0.0-test', log };
  const tls = { caFile: orders.caFile, certFile: null, keyFile: null };
  const address = { url: orders.url, token: orders.token, spoolDir, tls, heartbeatMs: HEARTBEAT_MS };
  const outbox = new Outbox({
    ...identity,
    spoolDir,
    spoolMaxBytes: SPOOL_BYTES,
    detail: 'all',
    rollupIntervalMs: 60_000,
    state: agentState,
    sink: toCollector(address, identity),
  });
  outbox.start();
  return { host, outbox };
});

let isEnding = false;
process.stdin.resume();
process.stdin.on('end', () => {
  isEnding = true;
});

let made = 0;
let reportedMs = performance.now();
let acknowledgedMs = performance.now();
let acknowledged = 0;
let longestPauseMs = 0;
const beganMs = performance.now();
let endedMs = Number.POSITIVE_INFINITY;
for (;;) {
  const nowMs = performance.now();
  if (isEnding && endedMs === Number.POSITIVE_INFINITY) endedMs = nowMs;
  const due = isEnding ? made : Math.floor(((nowMs - beganMs) / 1000) * orders.callsPerSecond);
  for (; made < due; made += 1) {
    const { host, outbox } = outboxes[made % outboxes.length]!;
    outbox.call(makeCall({ host }));
  }
  const deliveries = outboxes.map(({ outbox }) => outbox.delivery());
  const waiting = deliveries.reduce((sum, { kept }) => sum + kept, 0);
  if (made - waiting > acknowledged || waiting === 0) {
    acknowledged = made - waiting;
    acknowledgedMs = nowMs;
  }
  longestPauseMs = Math.max(longestPauseMs, nowMs - acknowledgedMs);
  const isDone = isEnding && waiting === 0;
  if (nowMs - reportedMs >= 1000 || isDone) {
    reportedMs = nowMs;
    const connected = deliveries.filter((delivery) => delivery.connected).length;
    const report: FleetReport = { made, waiting, connected, longestPauseMs: Math.round(longestPauseMs) };
    process.stdout.write(`${JSON.stringify(report)}\n`);
    longestPauseMs = 0;
  }
  if (isDone || nowMs - endedMs > DRAIN_MS) break;
  await sleep(STEP_MS);
}
await Promise.all(outboxes.map(({ outbox }) => outbox.stop()));
