/**
 * Runs the hostile host in a process of its own: it sends the frames of one attack as fast as the collector
 * reads them. Arguments: URL, enrolment token, name of the attack, milliseconds. Loopback only. Prints its
 * counts as one line of JSON.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { AGENT_PATH, type CollectorFrame } from '../../protocol/frames.ts';
import { ATTACKS, HOSTILE_ID } from './attacks.ts';

/** The most bytes that may wait in this process for the socket. */
const MAX_BUFFERED_BYTES = 4 * 1024 * 1024;
const RECONNECT_MS = 50;

export interface HostileReport {
  frames: number;
  bytes: number;
  /** One acknowledgement may be for several batches. */
  acknowledgements: number;
  connections: number;
  /** Number of closed connections by the reason that the collector gave. */
  refused: Record<string, number>;
}

const [url = '', token = '', name = '', forMs = '0'] = process.argv.slice(2);
if (!['127.0.0.1', '[::1]', 'localhost'].includes(new URL(url).hostname))
  throw new Error(`${url} is not loopback.`);
const attack = ATTACKS[name];
if (attack === undefined) throw new Error(`There is no attack ${name}.`);

const report: HostileReport = { frames: 0, bytes: 0, acknowledgements: 0, connections: 0, refused: {} };
const untilMs = performance.now() + Number(forMs);
let credential = token;
let at = 0;

while (performance.now() < untilMs) {
  await attackOnce(attack).catch(() => {});
  await sleep(RECONNECT_MS);
}
process.stdout.write(`${JSON.stringify(report)}\n`);
process.exit(0);

async function attackOnce(frameOf: (at: number) => Record<string, unknown>): Promise<void> {
  const socket = new WebSocket(new URL(AGENT_PATH, url), {
    headers: { authorization: `Bearer ${credential}` },
    perMessageDeflate: false,
  });
  let isWelcome = false;
  let seq = 0;
  socket.on('error', () => {});
  socket.on('message', (data) => {
    const frame = JSON.parse(String(data)) as CollectorFrame;
    if (frame.type === 'welcome') {
      credential = frame.credential ?? credential;
      seq = frame.last_seq;
      isWelcome = true;
    } else if (frame.type === 'ack') {
      report.acknowledgements += 1;
    } else {
      report.refused[frame.reason] = (report.refused[frame.reason] ?? 0) + 1;
    }
  });
  await once(socket, 'open');
  report.connections += 1;
  const host = { id: HOSTILE_ID, name: 'hostile' };
  const hello = {
    type: 'hello',
    protocol: 1,
    protocol_max: 2,
    agent_version: '0.0.0',
    stream: randomUUID(),
    host,
  };
  socket.send(JSON.stringify(hello));
  while (!isWelcome && socket.readyState === WebSocket.OPEN) await sleep(1);
  while (socket.readyState === WebSocket.OPEN && performance.now() < untilMs) {
    if (socket.bufferedAmount > MAX_BUFFERED_BYTES) {
      await sleep(5);
      continue;
    }
    const frame = frameOf(at);
    at += 1;
    if (frame['type'] === 'batch' && frame['seq'] === undefined) {
      seq += 1;
      frame['seq'] = seq;
    }
    const text = JSON.stringify(frame);
    socket.send(text);
    report.frames += 1;
    report.bytes += text.length;
    // This lets acknowledgements be read.
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.terminate();
}
