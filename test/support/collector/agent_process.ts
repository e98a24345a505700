/**
 * An agent's outbox in a process of its own, fed with numbered calls. Its one argument is JSON
 * (`AgentOrders`). Prints `made N` after call number N was handed over, `done` when all were, and, when its
 * input ends, stops in order and prints its counters as JSON.
 */
import { writeSync } from 'node:fs';
import { pino } from 'pino';
import { Outbox, toCollector } from '../../../agent/outbox/outbox.ts';
import { agentState, HOST, makeCall } from './calls.ts';

export interface AgentOrders {
  url: string;
  token: string;
  spoolDir: string;
  spoolMaxBytes: number;
  heartbeatMs: number;
  /** Numbers of the calls: from `from` up to but not including `to`. Every third one is a routine v2 call. */
  from: number;
  to: number;
  /** Calls handed over between two turns of the event loop. */
  burst: number;
  pauseMs: number;
  detail: 'rolled_up' | 'all';
}

const orders = JSON.parse(process.argv[2]!) as AgentOrders;
const log = pino({ level: 'info' }, pino.destination({ dest: 2, sync: true }));
const identity = { host: HOST, agentVersion: '0.0.0-test', log };
const outbox = new Outbox({
  ...identity,
  spoolDir: orders.spoolDir,
  spoolMaxBytes: orders.spoolMaxBytes,
  detail: orders.detail,
  rollupIntervalMs: 300,
  state: agentState,
  sink: toCollector(orders, identity),
});
outbox.start();
process.stdin.resume();
process.stdin.on('end', async () => {
  await outbox.stop();
  writeSync(1, `${JSON.stringify(outbox.counters())}\n`);
});

for (let number = orders.from; number < orders.to; number += 1) {
  const version = number % 3 === 0 ? 2 : 1;
  const path = version === 2 && orders.detail === 'rolled_up' ? '/latest/meta-data/' : `/${number}`;
  outbox.call(makeCall({ 'imds.version': version, 'imds.server_version': version, 'url.path': path }));
  writeSync(1, `made ${number}\n`);
  if (number % orders.burst === 0) await new Promise((resolve) => setTimeout(resolve, orders.pauseMs));
}
writeSync(1, 'done\n');
