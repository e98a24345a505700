/**
 * A thousand agents offer more than the store takes: they are slowed down evenly. A model without clocks and
 * sockets: in each turn every socket that is read brings what its agent has sent, and the store ends one
 * transaction.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WebSocket } from 'ws';
import { Backlog } from '../../../collector/ingest/backlog.ts';
import { FlowControl } from '../../../collector/ingest/flow_control.ts';
import { HostQueues } from '../../../collector/ingest/host_queues.ts';
import { HostShares } from '../../../collector/ingest/host_shares.ts';
import { call, host, program } from '../../support/collector/store/records.ts';

const AGENTS = 1000;
/** Batches that an agent sends ahead, and bytes and records of each. */
const AHEAD = 8;
const BATCH_BYTES = 6_000;
const BATCH_RECORDS = 9;
const RECORDS_OF_HOST = 25;
/** A modest agent makes one batch in this number of turns. */
const MODEST_TURNS = 40;

class Agent {
  isPaused = false;
  readonly flow: FlowControl;
  readonly host: ReturnType<typeof host>;
  sent = 0;
  /** Turns in which the agent made the batches that are not sent, and those that are not stored. */
  #made: number[] = [];
  #unanswered: number[] = [];
  /** Batches that were read and not taken. */
  #read = 0;
  readonly #submit: (agent: Agent) => void;
  readonly waits: number[] = [];

  constructor(name: string, backlog: Backlog, shares: HostShares, submit: (agent: Agent) => void) {
    this.#submit = submit;
    this.host = host(name);
    const socket = {
      pause: () => {
        this.isPaused = true;
      },
      resume: () => {
        this.isPaused = false;
      },
    };
    Object.defineProperty(socket, 'isPaused', { get: () => this.isPaused });
    const limits = { bytesPerSecond: Number.MAX_SAFE_INTEGER, recordsPerSecond: Number.MAX_SAFE_INTEGER };
    this.flow = new FlowControl(
      socket as unknown as WebSocket,
      limits,
      { backlog, shares },
      {
        heldBack: () => {},
        turn: () => this.take(),
      },
    );
  }

  make(turn: number): void {
    if (this.#made.length + this.#unanswered.length < AHEAD) this.#made.push(turn);
  }

  /** Reads the socket: everything that was sent. */
  read(): void {
    if (this.isPaused) return;
    this.#read += this.#made.length;
    this.#unanswered.push(...this.#made.splice(0));
    this.take();
  }

  /** Takes batches that were read, until the agent must stand in line. */
  take(): void {
    for (; this.#read > 0 && this.flow.mayTake(); this.#read -= 1) {
      this.sent += 1;
      this.flow.addBatch(BATCH_BYTES, BATCH_RECORDS);
      this.#submit(this);
    }
  }

  answer(turn: number): void {
    this.waits.push(turn - this.#unanswered.shift()!);
    this.flow.completeBatch(BATCH_BYTES);
  }
}

function run(turns: number, greedy: number): { agents: Agent[]; mostBytes: number } {
  const deferred: (() => void)[] = [];
  const backlog = new Backlog(undefined, (work) => deferred.push(work));
  const shares = new HostShares({ bytesPerSecond: 1e12, recordsPerSecond: 1e12 });
  const queues = new HostQueues();
  const caller = program('a');
  const records = Array.from({ length: BATCH_RECORDS }, (_, index) => call(index));
  const submit = (agent: Agent) => {
    queues.add({
      hostId: agent.host.id,
      size: BATCH_RECORDS,
      batch: { stream: agent.host.id, seq: agent.sent, host: agent.host, callers: [caller], records },
      written: 0,
      records: 0,
      duplicates: 0,
      given: () => agent.flow.giveBatch(BATCH_BYTES),
      resolve: () => {},
      reject: () => {},
    });
  };
  const agents = Array.from(
    { length: AGENTS },
    (_, index) => new Agent(`agent-${index}`, backlog, shares, submit),
  );
  const ofHost = new Map(agents.map((agent) => [agent.host.id, agent]));
  let mostBytes = 0;
  for (let turn = 1; turn <= turns; turn += 1) {
    // Many turns of the event loop fit into one transaction.
    while (deferred.length > 0) deferred.shift()!();
    for (const [index, agent] of agents.entries()) {
      const isGreedy = index < greedy;
      if (isGreedy) for (let batch = 0; batch < AHEAD; batch += 1) agent.make(turn);
      else if (turn % MODEST_TURNS === index % MODEST_TURNS) agent.make(turn);
      agent.read();
    }
    mostBytes = Math.max(mostBytes, backlog.bytes);
    const group = queues.select(RECORDS_OF_HOST);
    for (const { waiting } of group) queues.remove(waiting);
    for (const { waiting } of group) waiting.given();
    queues.release(group);
    for (const { waiting } of group) ofHost.get(waiting.hostId)!.answer(turn);
  }
  return { agents, mostBytes };
}

test('agents beyond capacity wait for about the same time, and all of them get about the same', () => {
  const { agents, mostBytes } = run(600, AGENTS);
  const stored = agents.map(({ waits }) => waits.length);
  const longest = agents.map(({ waits }) => Math.max(...waits.slice(AHEAD)));
  assert.ok(Math.min(...stored) > 30, `the slowest agent has stored ${Math.min(...stored)} batches`);
  assert.ok(
    Math.max(...stored) <= Math.min(...stored) + 3 * AHEAD,
    `${Math.min(...stored)} to ${Math.max(...stored)} batches`,
  );
  assert.ok(
    Math.max(...longest) <= 2 * Math.min(...longest),
    `the longest wait of an agent is ${Math.min(...longest)} to ${Math.max(...longest)} turns`,
  );
  // The bound, and the one batch that exceeds it.
  assert.ok(mostBytes <= 4 * 1024 * 1024 + BATCH_BYTES, `${mostBytes} bytes waited`);
});

test('agents that offer little wait no longer than those that offer all they can', () => {
  const { agents } = run(800, 500);
  const longest = (some: Agent[]) => Math.max(...some.map(({ waits }) => Math.max(...waits.slice(AHEAD))));
  const [greedy, modest] = [agents.slice(0, 500), agents.slice(500)];
  const stored = modest.map(({ waits }) => waits.length);
  assert.ok(
    Math.min(...stored) >= 800 / MODEST_TURNS - 3,
    `a modest agent has stored ${Math.min(...stored)}`,
  );
  assert.ok(longest(modest) <= longest(greedy), `${longest(modest)} and ${longest(greedy)} turns`);
});
