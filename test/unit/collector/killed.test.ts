/** Either side killed under load: every call is counted from the agent's hand-over to the store. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import type { AgentOrders } from '../../support/collector/agent_process.ts';
import { AgentProcess, kill, startCollectorProcess, TOKEN } from '../../support/collector/processes.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const CALLS = 5000;
const children: ChildProcess[] = [];
const directories: string[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-killed-'));
  directories.push(directory);
  return directory;
}

async function collector(dataDir: string, port?: number) {
  const started = await startCollectorProcess(dataDir, port);
  children.push(started.child);
  return started;
}

function agent(
  orders: Pick<AgentOrders, 'url' | 'spoolDir' | 'from' | 'to'> & Partial<AgentOrders>,
): AgentProcess {
  const started = new AgentProcess({
    token: TOKEN,
    spoolMaxBytes: 64 * 1024 * 1024,
    heartbeatMs: 500,
    burst: 10,
    pauseMs: 6,
    detail: 'all',
    ...orders,
  });
  children.push(started.child);
  return started;
}

test('the collector is killed three times under load: nothing lost, nothing twice', async () => {
  const dataDir = newDirectory();
  let { child, port } = await collector(dataDir);
  const sender = agent({ url: `ws://127.0.0.1:${port}`, spoolDir: newDirectory(), from: 0, to: CALLS });
  for (const made of [1000, 2200, 3400]) {
    await sender.untilMade(made);
    await kill(child);
    ({ child } = await collector(dataDir, port));
  }
  await sender.untilDone();
  await eventually('all calls stored', () => readStored(dataDir).numbers.length >= CALLS);
  assert.deepEqual(readStored(dataDir).numbers, range(0, CALLS));
  const counters = await sender.stop();
  assert.equal(counters['spool']!['acknowledged'], CALLS);
  assert.equal(counters['spool']!['lost'], 0);
  assert.ok(counters['uplink']!['connections']! >= 2, 'the collector was away and back');
});

test('the agent is killed three times under load: records in its spool are stored once', async () => {
  const dataDir = newDirectory();
  const { port } = await collector(dataDir);
  const spoolDir = newDirectory();
  const url = `ws://127.0.0.1:${port}`;
  const handedOver: number[] = [];
  /** The call after the last that was reported: it may or may not have been handed over. */
  const unsure: number[] = [];
  let from = 0;
  for (const made of [900, 1100, 800]) {
    const sender = agent({ url, spoolDir, from, to: from + 100_000, detail: 'rolled_up' });
    await sender.untilMade(made);
    await kill(sender.child);
    handedOver.push(...sender.made);
    unsure.push(sender.made.at(-1)! + 1);
    from = sender.made.at(-1)! + 2;
  }
  const last = agent({ url, spoolDir, from, to: from + 1000, detail: 'rolled_up' });
  await last.untilDone();
  const counters = await last.stop();
  handedOver.push(...last.made);

  assert.equal(counters['spool']!['lost'], 0);
  assert.ok(counters['roll_up']!['recovered']! > 0, 'counts of the killed process were found');
  const { numbers, rolledUp } = readStored(dataDir);
  assert.deepEqual(
    numbers.filter((number) => !unsure.includes(number)),
    handedOver.filter((number) => number % 3 !== 0),
  );
  assert.equal(new Set(numbers).size, numbers.length);
  const routine = handedOver.filter((number) => number % 3 === 0).length;
  const perhaps = unsure.filter((number) => number % 3 === 0).length;
  assert.ok(rolledUp >= routine && rolledUp <= routine + perhaps, `${rolledUp}, not ${routine}`);
});

test('both are killed, and the agent starts before there is a collector', async () => {
  const dataDir = newDirectory();
  const spoolDir = newDirectory();
  const first = await collector(dataDir);
  await kill(first.child);
  const url = `ws://127.0.0.1:${first.port}`;
  const early = agent({ url, spoolDir, from: 0, to: 1500 });
  await early.untilDone();
  await kill(early.child);
  const second = await collector(dataDir, first.port);
  const late = agent({ url, spoolDir, from: 1500, to: 3000 });
  await late.untilMade(700);
  await Promise.all([kill(second.child), kill(late.child)]);
  await collector(dataDir, first.port);
  const from = late.made.at(-1)! + 2;
  const last = agent({ url, spoolDir, from, to: from + 300 });
  await last.untilDone();
  const counters = await last.stop();
  assert.equal(counters['spool']!['lost'], 0);
  const { numbers } = readStored(dataDir);
  assert.deepEqual(
    numbers.filter((number) => number !== from - 1),
    [...range(0, from - 1), ...range(from, from + 300)],
  );
  assert.ok(numbers.filter((number) => number === from - 1).length <= 1);
});
