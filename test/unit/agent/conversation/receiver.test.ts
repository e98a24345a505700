/**
 * Compares random conversations with injected segments with a model of the receiver: either the reported
 * calls are those that the service read, or a loss was counted.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isUnproven } from '../../../../agent/conversation/classify.ts';
import { ACK, FIN, RST, type Segment, SYN, URG } from '../../../../agent/conversation/segment.ts';
import { decodePacket } from '../../../../agent/decode/decode.ts';
import { lossesOf } from '../../../../protocol/losses.ts';
import { forged, shifted, timestamps } from '../../../support/agent/conversation/attacker.ts';
import { Receiver, type Wire } from '../../../support/agent/conversation/receiver_model.ts';
import { answer, play, Script, START_US, TTL_ANSWER } from '../../../support/agent/conversation/script.ts';
import { ipv4, tcp } from '../../../support/agent/decode/frames.ts';

const WINDOW = 64_240;

/** Both paths have the same length. */
function textOf(number: number, isV2: boolean): string {
  const name = isV2 ? 'X-aws-ec2-metadata-token' : 'X-aws-ec2-metadata-tokem';
  return `GET /latest/meta-data/n${number} HTTP/1.1\r\nHost: h\r\n${name}: AQ==\r\n\r\n`;
}

/** Every receiver ignores these segments, so they may have no effect. */
const HARMLESS = [
  'bad-data',
  'bad-reset',
  'bad-fin',
  'far-reset',
  'near-reset',
  'syn',
  'old',
  'no-ack',
] as const;
/** The receiver or its application may accept these segments. */
const HARMFUL = [
  'dead-data',
  'data',
  'early-data',
  'dead-early-data',
  'dead-reset',
  'reset',
  'dead-fin',
  'urgent',
] as const;
type Kind = (typeof HARMLESS)[number] | (typeof HARMFUL)[number];

interface Decoy {
  kind: Kind;
  at: number;
  by: number;
}

interface Plan {
  requests: { isV2: boolean; isRefused: boolean; cuts: number[]; waitUs: number }[];
  decoys: Decoy[];
  isn: number;
}

function plans(kinds: readonly Kind[], maxDecoys: number): fc.Arbitrary<Plan> {
  return fc.record({
    requests: fc.array(
      fc.record({
        isV2: fc.boolean(),
        isRefused: fc.boolean(),
        cuts: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 4 }),
        waitUs: fc.constantFrom(0, 1_000, 400_000, 7_000_000),
      }),
      { minLength: 1, maxLength: 4 },
    ),
    decoys: fc.array(
      fc.record({ kind: fc.constantFrom(...kinds), at: fc.nat(12), by: fc.integer({ min: 2, max: 400 }) }),
      { maxLength: maxDecoys },
    ),
    isn: fc.oneof(fc.nat(0xffffffff), fc.integer({ min: 0xffffff00, max: 0xffffffff })),
  });
}

/** Returns the segments that an attacker sends in the place of `real`, a segment of request `number`. */
function decoyOf({ kind, by }: Decoy, real: Segment, number: number, isV2: boolean, offset: number): Wire {
  const other = Buffer.from(textOf(number, !isV2)).subarray(offset);
  const data = other.subarray(0, Math.max(1, Math.min(other.length, by)));
  const early = Math.min(by % 20, data.length - 1);
  const made = (changes: Partial<Segment>, isIntact = true, arrives = true): Wire => ({
    segment: forged(real, changes),
    isIntact,
    arrives,
  });
  switch (kind) {
    case 'bad-data':
      return made({ payload: data }, false);
    case 'bad-reset':
      return made({ flags: RST | ACK }, false);
    case 'bad-fin':
      return made({ flags: FIN | ACK }, false);
    case 'far-reset':
      return made({ flags: RST | ACK, seq: shifted(real.seq, -900_000 + by) });
    case 'near-reset':
      return made({ flags: RST | ACK, seq: shifted(real.seq, 10_000 + by) });
    case 'syn':
      return made({ flags: SYN, ack: 0, seq: shifted(real.seq, by * 7_000_001) });
    case 'old':
      return made({ payload: data, options: timestamps(1_000 - by) });
    case 'no-ack':
      return made({ payload: data, flags: 0 });
    case 'dead-data':
      return made({ payload: data }, true, false);
    case 'data':
      return made({ payload: data });
    case 'early-data':
      return made({ seq: shifted(real.seq, early), payload: data.subarray(early) });
    case 'dead-early-data':
      return made({ seq: shifted(real.seq, early), payload: data.subarray(early) }, true, false);
    case 'dead-reset':
      return made({ flags: RST | ACK }, true, false);
    case 'reset':
      return made({ flags: RST | ACK });
    case 'dead-fin':
      return made({ flags: FIN | ACK }, true, false);
    case 'urgent':
      return {
        ...made({ payload: real.payload.subarray(0, by), flags: ACK | URG }),
        urgentPointer: 1 + (by % real.payload.length),
      };
  }
}

interface Read {
  path: string;
  version: 1 | 2;
}

/** Plays the plan between a client, an attacker with raw sockets, and the modelled service. */
function run({ requests, decoys, isn }: Plan): { captured: Wire[]; read: Read[] } {
  const [hello, agreed, third] = new Script({ clientIsn: isn }).segments as [Segment, Segment, Segment];
  let timeUs = START_US;
  let clock = 5_000;
  const captured: Wire[] = [];
  const read: Read[] = [];
  const receiver = new Receiver(isn, WINDOW, clock);
  let clientSeq = third.seq;
  let serverSeq = third.ack;
  const send = (wire: Wire) => {
    timeUs += 10;
    const { options } = wire.segment;
    captured.push({
      ...wire,
      segment: { ...wire.segment, timeUs, options: options.length > 0 ? options : timestamps(clock) },
    });
    receiver.take(captured.at(-1)!);
  };
  const sound = (segment: Segment): Wire => ({ segment, arrives: true, isIntact: true });
  for (const segment of [hello, agreed, third]) send(sound(segment));
  let parsed = 0;
  const serve = () => {
    if (receiver.isReset) return;
    let reply = '';
    for (let end = 0; ; parsed = end) {
      end = receiver.stream.indexOf('\r\n\r\n', parsed) + 4;
      if (end < 4) break;
      const head = receiver.stream.slice(parsed, end);
      const path = head.split(' ')[1] ?? '';
      const version = /^x-aws-ec2-metadata-token:/im.test(head) ? 2 : 1;
      read.push({ path, version });
      const isRefused = requests[Number(/n(\d)/.exec(path)?.[1] ?? 0)]?.isRefused;
      reply += answer(isRefused ? 404 : 200, 'x', version === 2 && !isRefused ? TTL_ANSWER : {});
    }
    const payload = Buffer.from(reply);
    send(sound({ ...agreed, flags: ACK, seq: serverSeq, ack: receiver.expected, payload }));
    serverSeq = shifted(serverSeq, payload.length);
    send(sound({ ...third, flags: ACK, seq: clientSeq, ack: serverSeq }));
  };
  let sent = 0;
  requests.forEach(({ isV2, cuts, waitUs }, number) => {
    const text = Buffer.from(textOf(number, isV2));
    timeUs += waitUs;
    clock += 10;
    const edges = [...new Set([0, ...cuts.filter((cut) => cut < text.length), text.length])].sort(
      (a, b) => a - b,
    );
    for (let n = 0; n + 1 < edges.length; n++) {
      const from = edges[n]!;
      const payload = text.subarray(from, edges[n + 1]);
      const real = { ...third, flags: ACK, seq: clientSeq, ack: serverSeq, payload };
      for (const decoy of decoys.filter(({ at }) => at === sent)) {
        send(decoyOf(decoy, real, number, isV2, from));
        serve();
        timeUs += decoy.by * 1_000;
      }
      sent++;
      clientSeq = shifted(clientSeq, payload.length);
      send(sound(real));
      serve();
    }
  });
  return { captured, read };
}

/**
 * Decodes and follows the packets that a capture on the client's host has. Returns the calls and all losses.
 */
function watched(captured: Wire[]) {
  let refused = 0;
  const segments: Segment[] = [];
  for (const { segment, isIntact } of captured) {
    const addressed = (text: string) => text.split('.').map(Number);
    const packet = ipv4(tcp(segment), {
      source: addressed(segment.sourceAddress),
      destination: addressed(segment.destinationAddress),
      tcpChecksum: isIntact ? 'right' : 'wrong',
    });
    const decoded = decodePacket(packet, 'RAW', segment.timeUs, packet.length);
    if (typeof decoded === 'string') refused++;
    else segments.push(decoded);
  }
  const { all, counters } = play(segments, { ticksBetween: true, tickUs: 8_000_000 });
  const doubts = all.filter(
    ({ exchange, verdict }) =>
      exchange.outcome === 'truncated' ||
      isUnproven(exchange, verdict) ||
      (verdict.serverVersion ?? verdict.version) !== verdict.version,
  ).length;
  const losses = { ...lossesOf({ conversation: counters }), ...(doubts > 0 && { doubts }) };
  const calls = all.map(({ exchange, verdict }) => ({
    path: exchange.request.path,
    version: verdict.version,
  }));
  return { calls, losses, refused, counters };
}

describe('a conversation with injected segments', () => {
  it('that every receiver ignores gives exactly the calls that the service read, and no loss', () => {
    fc.assert(
      fc.property(plans(HARMLESS, 6), (plan) => {
        const { captured, read } = run(plan);
        const { calls, losses, refused } = watched(captured);
        assert.deepEqual(losses, {});
        assert.deepEqual(calls, read);
        assert.equal(refused, captured.filter(({ isIntact }) => !isIntact).length);
      }),
      { numRuns: 1_500 },
    );
  });

  it('that some receivers accept gives the calls that the service read, or a loss', () => {
    let lossless = 0;
    let lossy = 0;
    fc.assert(
      fc.property(plans([...HARMLESS, ...HARMFUL], 5), (plan) => {
        const { captured, read } = run(plan);
        const { calls, losses } = watched(captured);
        if (Object.keys(losses).length > 0) {
          lossy++;
          return;
        }
        lossless++;
        // A request that the service never received may be reported too.
        const missing = read.filter(
          ({ path, version }) => !calls.some((call) => call.path === path && call.version === version),
        );
        assert.deepEqual(missing, []);
      }),
      { numRuns: 3_000 },
    );
    assert.ok(lossless > 100 && lossy > 100, `${lossless} without a loss, ${lossy} with one`);
  });

  it('of each harmful kind alone never makes an IMDSv1 call IMDSv2 without a loss', () => {
    for (const kind of HARMFUL) {
      fc.assert(
        fc.property(plans([kind], 3), (plan) => {
          const { captured, read } = run(plan);
          const { calls, losses } = watched(captured);
          if (Object.keys(losses).length > 0) return;
          const v1 = (list: { version: number }[]) => list.filter(({ version }) => version === 1).length;
          assert.ok(v1(calls) >= v1(read), kind);
        }),
        { numRuns: 300 },
      );
    }
  });
});
