/** A real collector against agents that say anything at all, while an honest agent goes on beside them. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { type RawData, WebSocket } from 'ws';
import { AGENT_PATH } from '../../protocol/frames.ts';
import { TOKEN } from '../support/collector/processes.ts';
import { eventually } from '../support/collector/stored.ts';
import { type Message, messagesOf, NEXT_SEQ } from './frame_scripts.ts';
import { PopulatedCollector } from './populated_collector.ts';
import { fuzzSettings, howToRepeat, timeBoxed } from './settings.ts';

const HOST_ID = 'fuzzed-host';
/** A message that the collector neither answers nor refuses leaves the connection as it was. */
const QUIET_MS = 5_000;
const HONEST_EVERY_MS = 100;
const MOST_HONEST_MS = 10_000;
const MOST_RESIDENT_BYTES = 600e6;
/** Close codes of the WebSocket layer (RFC 6455 section 7.4.1), and the abrupt end of a socket that sent something else. */
const CLOSE_CODES = new Set([1002, 1003, 1005, 1006, 1007, 1008, 1009]);

let collector: PopulatedCollector;
let reader = '';
before(async () => {
  collector = await PopulatedCollector.start();
  reader = collector.personToken('viewer', 'reader');
});
after(() => collector?.end());

let credential: string | null = null;

async function open(
  stream: string,
): Promise<{ socket: WebSocket; frames: string[]; closed: () => number | null; lastSeq: number }> {
  const url = `${collector.url.replace('http', 'ws')}${AGENT_PATH}`;
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${credential ?? TOKEN}` } });
  const frames: string[] = [];
  let code: number | null = null;
  socket.on('message', (data: RawData) => frames.push(String(data)));
  socket.on('close', (closeCode) => {
    code = closeCode;
  });
  socket.on('error', () => {}); // `close` follows
  await once(socket, 'open');
  const host = { id: HOST_ID, name: 'fuzzed' };
  const hello = { type: 'hello', protocol: 1, protocol_max: 2, agent_version: '0', stream, host };
  socket.send(JSON.stringify(hello));
  await eventually('welcome', () => frames.length > 0);
  const welcome = JSON.parse(frames.shift()!) as { type: string; credential?: string; last_seq: number };
  assert.equal(welcome.type, 'welcome');
  credential ??= welcome.credential ?? null;
  return { socket, frames, closed: () => code, lastSeq: welcome.last_seq };
}

/** `nextSeq` is asked for every batch that is to have the right number. */
function say(socket: WebSocket, message: Message, nextSeq: () => number): void {
  if (socket.readyState !== WebSocket.OPEN) return;
  switch (message.how) {
    case 'text':
      socket.send(message.text.replaceAll(NEXT_SEQ, () => String(nextSeq())));
      return;
    case 'binary':
      socket.send(message.bytes, { binary: true });
      return;
    case 'parts':
      message.parts.forEach((part, index) => {
        socket.send(part, { fin: message.isEnded && index === message.parts.length - 1 });
      });
      return;
    case 'raw':
      (socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(message.bytes);
  }
}

/** Resolves when the collector has dealt with all that was said: it answers a ping, or has closed. */
async function dealtWith(socket: WebSocket, closed: () => number | null): Promise<void> {
  let ponged = false;
  socket.once('pong', () => {
    ponged = true;
  });
  if (socket.readyState === WebSocket.OPEN) socket.ping();
  await eventually('dealt with', () => ponged || closed() !== null, QUIET_MS + 5_000);
}

/** `series`: name and labels of a metric, without the prefix. Throws where the collector has no such series. */
async function counter(series: string): Promise<number> {
  const response = await fetch(`${collector.url}/metrics`, {
    headers: { authorization: `Bearer ${reader}` },
  });
  const lines = (await response.text()).split('\n');
  const line = lines.find((each) => each.startsWith(`imdswatch_${series} `));
  assert.ok(line !== undefined, `no metric ${series}`);
  return Number(line.split(' ')[1]);
}

/** An agent that does nothing wrong: a heartbeat and a batch again and again, and how long each took to be acknowledged. */
class Honest {
  readonly waits: number[] = [];
  #stopped = false;
  #running: Promise<void> = Promise.resolve();

  start(): void {
    this.#running = this.#run();
    this.#running.catch(() => {}); // `stop` tells
  }

  async #run(): Promise<void> {
    const socket = new WebSocket(`${collector.url.replace('http', 'ws')}${AGENT_PATH}`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const frames: string[] = [];
    socket.on('message', (data: RawData) => frames.push(String(data)));
    await once(socket, 'open');
    const host = { id: 'honest-host', name: 'honest' };
    socket.send(
      JSON.stringify({
        type: 'hello',
        protocol: 1,
        protocol_max: 2,
        agent_version: '0',
        stream: randomUUID(),
        host,
      }),
    );
    await eventually('welcome', () => frames.length === 1);
    for (let seq = 1; !this.#stopped; seq += 1) {
      const sentMs = performance.now();
      socket.send(JSON.stringify({ type: 'batch', seq, records: [] }));
      const ack = `{"type":"ack","seq":${seq},"rejected":0}`;
      await eventually('an acknowledgement', () => frames.includes(ack), MOST_HONEST_MS);
      assert.equal(socket.readyState, WebSocket.OPEN);
      this.waits.push(performance.now() - sentMs);
      frames.length = 0;
      await new Promise((resolve) => setTimeout(resolve, HONEST_EVERY_MS));
    }
    socket.close();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

test('no agent stops the collector or harms another agent: invalid input is refused and counted', async (t) => {
  const settings = fuzzSettings();
  t.diagnostic(howToRepeat(settings));
  const honest = new Honest();
  honest.start();
  let closings = 0;
  let refusals = 0;
  let rejected = 0;
  let acknowledged = 0;
  const stream = randomUUID();
  await fc.assert(
    fc.asyncProperty(messagesOf(HOST_ID, stream), fc.boolean(), async (messages, isSameStream) => {
      const { socket, frames, closed, lastSeq } = await open(isSameStream ? stream : randomUUID());
      try {
        let seq = lastSeq;
        for (const message of messages) say(socket, message, () => ++seq);
        await dealtWith(socket, closed);
        const code = closed();
        if (code !== null) {
          closings += 1;
          assert.ok(CLOSE_CODES.has(code), `closed with ${code}`);
        }
        for (const frame of frames.map((text) => JSON.parse(text) as { type: string; rejected?: number })) {
          if (frame.type === 'refused') refusals += 1;
          else assert.equal(frame.type, 'ack');
          if (frame.type === 'ack') acknowledged += 1;
          rejected += frame.rejected ?? 0;
        }
      } finally {
        socket.terminate();
      }
      assert.ok(collector.isAlive, collector.log);
    }),
    timeBoxed(settings),
  );
  await honest.stop();
  const worst = Math.max(...honest.waits);
  t.diagnostic(
    `${closings} connections closed, ${refusals} refusals, ${acknowledged} acknowledgements, ${rejected} records left out; honest: ${honest.waits.length} batches, ${worst.toFixed(0)} ms at most`,
  );
  assert.ok(honest.waits.length > 0);
  assert.ok(refusals > 0 && rejected > 0, 'some of it was invalid');
  assert.ok((await counter('ingest_refusals_sent_total')) >= refusals);
  const reasons = ['invalid', 'foreign'].map((reason) => `ingest_records_rejected_total{reason="${reason}"}`);
  const counted = await Promise.all(reasons.map(counter));
  assert.ok(counted[0]! + counted[1]! >= rejected, `${counted} of ${rejected}`);
  assert.ok(!/"level":(?:50|60)/.test(collector.log), collector.log.slice(-2000));
  assert.ok(collector.residentBytes() < MOST_RESIDENT_BYTES, `${collector.residentBytes()} bytes resident`);
});
