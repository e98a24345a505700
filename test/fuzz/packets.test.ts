/**
 * Packets of real clients, changed in every way that a network or an attacker changes packets, through decoding, conversation and
 * pipeline: none throws, every call that comes out is one by the contract, and memory stays within its bounds.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Packet, PacketHandler, PacketSource } from '../../agent/capture/packet_source.ts';
import type { LinkType } from '../../agent/decode/link_type.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import { call as callSchema } from '../../protocol/call.ts';
import { Script, START_US } from '../support/agent/conversation/script.ts';
import { cooked, cooked2, ethernet, ipv4, tcp } from '../support/agent/decode/frames.ts';
import { memoryInUse } from './memory_in_use.ts';
import { fuzzSettings, howToRepeat, timeBoxed } from './settings.ts';

const FIXTURE = join(import.meta.dirname, '../support/fixtures/client-requests.jsonl');
const REQUESTS = readFileSync(FIXTURE, 'utf8')
  .trimEnd()
  .split('\n')
  .map((line) => Buffer.from((JSON.parse(line) as { raw: string }).raw, 'base64'));
const ANSWERS = [
  'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  'HTTP/1.0 200 OK\r\n\r\nuntil the end',
  'HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 200 OK\r\nX-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60\r\nContent-Length: 2\r\n\r\nok',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n',
].map((text) => Buffer.from(text, 'latin1'));
/** A second's worth of time for the pipeline between two runs: what waits is decided, what is old forgotten. */
const RUN_US = 2_000_000;
/** Bounds on out-of-order bytes and connections together allow some 20 MB. */
const MOST_GROWTH_BYTES = 64e6;

interface Changed {
  how: 'flip' | 'cut' | 'drop' | 'repeat' | 'swap' | 'late' | 'splice' | 'longer' | 'number';
  packet: number;
  at: number;
  value: number;
}

interface Story {
  requests: { bytes: number; answer: number; cuts: number[] }[];
  port: number;
  isn: number;
  link: LinkType;
  end: 'fin' | 'reset' | 'open';
  changes: Changed[];
}

const change: fc.Arbitrary<Changed> = fc.record({
  how: fc.constantFrom('flip', 'cut', 'drop', 'repeat', 'swap', 'late', 'splice', 'longer', 'number'),
  packet: fc.nat(60),
  at: fc.nat(1600),
  value: fc.nat(0xffffffff),
});
const story: fc.Arbitrary<Story> = fc.record({
  requests: fc.array(
    fc.record({
      bytes: fc.nat(REQUESTS.length - 1),
      answer: fc.nat(ANSWERS.length - 1),
      cuts: fc.array(fc.nat(300), { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  // Few ports, so that stories meet what is left of one another.
  port: fc.integer({ min: 40_000, max: 40_040 }),
  isn: fc.oneof(fc.nat(0xffffffff), fc.constantFrom(0, 0xfffffff0, 0x7fffffff)),
  link: fc.constantFrom('RAW', 'ETHERNET', 'LINUX_SLL', 'LINUX_SLL2'),
  end: fc.constantFrom('fin', 'reset', 'open'),
  changes: fc.array(change, { maxLength: 8 }),
});

function framed(packet: Buffer, link: LinkType): Buffer {
  if (link === 'ETHERNET') return ethernet(packet, 0x0800);
  if (link === 'LINUX_SLL') return cooked(packet, 0x0800);
  if (link === 'LINUX_SLL2') return cooked2(packet, 0x0800);
  return packet;
}

function packetsOf({ requests, port, isn, link, end, changes }: Story, startUs: number): Packet[] {
  const script = new Script({ clientPort: port, clientIsn: isn, serverIsn: (isn * 7 + 3) >>> 0, startUs });
  for (const { bytes, answer, cuts } of requests) {
    script.say({ from: 'client', text: REQUESTS[bytes]!, cuts: cuts.toSorted((a, b) => a - b) });
    script.say({ from: 'server', text: ANSWERS[answer]! });
  }
  if (end === 'fin') script.fin('client').fin('server');
  if (end === 'reset') script.reset('client');
  const packets: Packet[] = script.segments.map((segment) => {
    const address = (text: string) => text.split('.').map(Number);
    const packet = ipv4(tcp(segment), {
      source: address(segment.sourceAddress),
      destination: address(segment.destinationAddress),
    });
    const data = framed(packet, link);
    return { data, linkType: link, timeUs: segment.timeUs, wireLength: data.length };
  });
  for (const one of changes) apply(packets, one);
  return packets;
}

function apply(packets: Packet[], { how, packet, at, value }: Changed): void {
  if (packets.length === 0) return;
  const index = packet % packets.length;
  const chosen = packets[index]!;
  const data = Buffer.from(chosen.data);
  const place = data.length === 0 ? 0 : at % data.length;
  const other = packets[value % packets.length]!;
  switch (how) {
    case 'flip':
      if (data.length > 0) data[place] = data[place]! ^ (1 << (value % 8));
      break;
    case 'number':
      if (data.length >= place + 4) data.writeUInt32BE(value, place);
      break;
    case 'cut':
      packets[index] = { ...chosen, data: data.subarray(0, place) };
      return;
    case 'longer':
      packets[index] = { ...chosen, data: Buffer.concat([data, Buffer.alloc(value % 3_000, 0x41)]) };
      return;
    case 'splice':
      packets[index] = {
        ...chosen,
        data: Buffer.concat([data.subarray(0, place), Buffer.from(other.data).subarray(place)]),
      };
      return;
    case 'drop':
      packets.splice(index, 1);
      return;
    case 'repeat':
      packets.splice(value % (packets.length + 1), 0, chosen);
      return;
    case 'swap':
      packets[index] = other;
      packets[value % packets.length] = chosen;
      return;
    case 'late':
      packets[index] = { ...chosen, timeUs: chosen.timeUs + ((value % 400_000_000) - 200_000_000) };
      return;
  }
  packets[index] = { ...chosen, data };
}

/** Gives the pipeline what it is told to. */
class Hand implements PacketSource {
  readonly name = 'fuzzer';
  readonly live = true;
  give: (packet: Packet) => void = () => {};
  start(handler: PacketHandler): void {
    this.give = (packet) => handler([packet]);
  }
  stop(): void {}
  counters() {
    return {};
  }
}

test('no packet makes the pipeline throw, invent a call, or grow', (t) => {
  const settings = fuzzSettings();
  t.diagnostic(howToRepeat(settings));
  const source = new Hand();
  let calls = 0;
  let wrong: string | null = null;
  const pipeline = new Pipeline({
    source,
    attribution: null,
    host: { id: 'h', name: 'h' },
    onCall: (call) => {
      calls += 1;
      const parsed = callSchema.safeParse(call);
      if (!parsed.success) wrong ??= JSON.stringify(parsed.error.issues);
    },
  });
  pipeline.start();
  let startUs = START_US;
  let stories = 0;
  let before = 0;
  fc.assert(
    fc.property(story, (told) => {
      startUs += RUN_US;
      for (const packet of packetsOf(told, startUs)) source.give(packet);
      pipeline.tick(startUs + RUN_US);
      if (wrong !== null) throw new Error(`not a call: ${wrong}`);
      stories += 1;
      // Code is compiled and tables are made by then.
      if (stories === 300) before = memoryInUse();
    }),
    timeBoxed(settings),
  );
  const after = memoryInUse();
  pipeline.stop();
  t.diagnostic(
    `${stories} stories, ${calls} calls, ${((after - before) / 1e6).toFixed(1)} MB more in use; ${JSON.stringify(pipeline.counters()['conversation'])}`,
  );
  assert.ok(calls > stories / 4, 'most stories still have calls in them');
  assert.ok(stories < 300 || after - before < MOST_GROWTH_BYTES, `${after - before} bytes more in use`);
});
