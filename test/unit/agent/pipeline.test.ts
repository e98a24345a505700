/**
 * Tests the pipeline without a network: with any bytes, and that a file gives the same calls as a live watch.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PacketClock } from '../../../agent/capture/packet_clock.ts';
import type { Packet, PacketHandler, PacketSource } from '../../../agent/capture/packet_source.ts';
import { Pipeline } from '../../../agent/pipeline.ts';
import { type Call, call as callSchema } from '../../../protocol/call.ts';
import { lossesOf } from '../../../protocol/losses.ts';
import { answer, request, Script, TTL_ANSWER } from '../../support/agent/conversation/script.ts';
import { ipv4, ipv6, tcp } from '../../support/agent/decode/frames.ts';

const HOST = { id: 'h', name: 'h' };

class Replay implements PacketSource {
  readonly name = 'replay';
  readonly live = false;
  private readonly packets: Packet[];
  constructor(packets: Packet[]) {
    this.packets = packets;
  }
  start(handler: PacketHandler): void {
    for (const packet of this.packets) handler([packet]);
  }
  stop(): void {}
  counters() {
    return {};
  }
}

function packetsOf(script: Script): Packet[] {
  return script.segments.map((segment) => {
    const address = (text: string) => text.split('.').map(Number);
    const data = ipv4(tcp(segment), {
      source: address(segment.sourceAddress),
      destination: address(segment.destinationAddress),
    });
    return { data, linkType: 'RAW', timeUs: segment.timeUs, wireLength: data.length };
  });
}

/** Reads the packets like `imdswatch read`. */
function fromFile(packets: Packet[]): { calls: Call[]; pipeline: Pipeline } {
  const calls: Call[] = [];
  const pipeline: Pipeline = new Pipeline({
    source: new PacketClock(new Replay(packets), (nowUs) => pipeline.tick(nowUs)),
    attribution: null,
    host: HOST,
    onCall: (call) => calls.push(call),
  });
  pipeline.start();
  pipeline.stop();
  return { calls, pipeline };
}

/** Reads the packets like `imdswatch watch`: time passes between them. */
function live(packets: Packet[]): Call[] {
  const calls: Call[] = [];
  let nowUs = packets[0]?.timeUs ?? 0;
  const source: PacketSource = {
    name: 'live',
    live: true,
    start(handler) {
      for (const packet of packets) {
        for (; nowUs < packet.timeUs; nowUs += 250_000) pipeline.tick(nowUs);
        handler([packet]);
      }
    },
    stop() {},
    counters: () => ({}),
  };
  const pipeline = new Pipeline({
    source,
    attribution: null,
    host: HOST,
    onCall: (call) => calls.push(call),
  });
  pipeline.start();
  pipeline.stop();
  return calls;
}

const essence = (calls: Call[]) =>
  calls.map((call) => [
    call['source.port'],
    call['http.request.method'],
    call['url.path'],
    call['imds.version'],
    call['http.response.status_code'],
    call.outcome,
    // Without a captured beginning, the time is that of the decision.
    call['url.path'] === null ? null : call.time,
  ]);

describe('one call', () => {
  it('has the fields of the contract', () => {
    const { calls, pipeline } = fromFile(
      packetsOf(
        new Script()
          .say({
            from: 'client',
            text: request('GET /latest/meta-data/?a=b', { 'X-Aws-Ec2-Metadata-Token': 't' }),
          })
          .wait(1_500)
          .say({ from: 'server', text: answer(200, 'x', TTL_ANSWER) })
          .fin('server')
          .fin('client'),
      ),
    );
    assert.equal(calls.length, 1);
    const call = callSchema.parse(calls[0]);
    assert.deepEqual(
      [call['imds.version'], call['imds.server_version'], call['url.query'], call.outcome, call.process],
      [2, 2, 'a=b', 'answered', null],
    );
    assert.ok(call.duration_ms! >= 1.5 && call.duration_ms! < 1.6, `${call.duration_ms} ms`);
    assert.deepEqual([call['attribution.method'], call['attribution.confidence']], ['none', 'none']);
    assert.equal(pipeline.counters()['calls']?.['unattributed'], 0, 'nobody was looked for');
  });
});

describe('an error does not confirm IMDSv2', () => {
  const read = 'GET /latest/meta-data/instance-id';
  const odd = request(read, { 'X-aws-ec2-metadata-token': '' });
  const plain = request(read, { 'X-aws-ec2-metadata-token': 't' });
  for (const [name, text, reply, isProven] of [
    ['odd, refused', odd, answer(404), false],
    ["odd, with the service's verdict", odd, answer(200, '', TTL_ANSWER), true],
    ['plain, refused', plain, answer(404), true],
  ] as const) {
    it(`${name}: ${isProven ? 'is a routine call' : 'is sent in full, and is a loss'}`, () => {
      const script = new Script().say({ from: 'client', text }).say({ from: 'server', text: reply });
      const heard: [number | null, boolean][] = [];
      const pipeline = new Pipeline({
        source: new Replay(packetsOf(script)),
        attribution: null,
        host: HOST,
        onCall: (call, proven) => heard.push([call['imds.version'], proven]),
      });
      pipeline.start();
      pipeline.stop();
      assert.deepEqual(heard, [[2, isProven]]);
      assert.deepEqual(lossesOf(pipeline.counters()), isProven ? {} : { 'calls.unproven': 1 });
    });
  }

  it('does not concern packets with a wrong checksum, which are counted and are no loss', () => {
    const script = new Script()
      .say({ from: 'client', text: plain })
      .say({ from: 'server', text: answer(404) });
    const packets = packetsOf(script);
    const damaged = packets.map((packet) => {
      const data = Buffer.from(packet.data);
      data[data.length - 1]! ^= 0x10;
      return { ...packet, data };
    });
    const { calls, pipeline } = fromFile(packets.flatMap((packet, n) => [damaged[n]!, packet]));
    assert.equal(calls.length, 1);
    assert.equal(pipeline.counters()['decode']?.['bad_checksum'], packets.length);
    assert.deepEqual(lossesOf(pipeline.counters()), {});
  });
});

describe('a capture file gives the calls that a live watch of the same packets gives', () => {
  const scripts: [string, Script][] = [
    [
      'an answer after two minutes',
      new Script()
        .say({ from: 'client', text: request('GET /latest/user-data') })
        .wait(120_000_000)
        .say({ from: 'server', text: answer(200) })
        .say({ from: 'client', text: request('GET /latest/meta-data/') })
        .say({ from: 'server', text: answer(200) })
        .fin('server')
        .fin('client'),
    ],
    [
      'a connection that began before the capture',
      new Script({ syn: false })
        .say({ from: 'client', text: request('GET /latest/user-data') })
        .say({ from: 'server', text: answer(200) })
        .wait(5_000_000)
        .say({ from: 'client', text: request('GET /latest/meta-data/') })
        .say({ from: 'server', text: answer(200) }),
    ],
    [
      'a request that was not captured, with others before and after',
      new Script()
        .say({ from: 'client', text: request('GET /latest/a') })
        .say({ from: 'server', text: answer(200) })
        .lose('client', request('GET /latest/b'))
        .say({ from: 'server', text: answer(200) })
        .wait(5_000_000)
        .say({ from: 'client', text: request('GET /latest/c') })
        .say({ from: 'server', text: answer(200) })
        .fin('server')
        .fin('client'),
    ],
    [
      'a client that closes and is answered much later',
      new Script()
        .say({ from: 'client', text: request('GET /latest/user-data') })
        .fin('client')
        .wait(60_000_000)
        .say({ from: 'server', text: answer(200) })
        .fin('server'),
    ],
  ];
  for (const [name, script] of scripts) {
    it(name, () => {
      const packets = packetsOf(script);
      assert.deepEqual(essence(fromFile(packets).calls), essence(live(packets)));
      assert.ok(live(packets).length > 0);
    });
  }
});

describe('open calls', () => {
  const read = request('GET /latest/user-data');
  const exchange = (script: Script) =>
    script.say({ from: 'client', text: read }).say({ from: 'server', text: answer(200) });
  const rows: [string, Script][] = [
    ['behind a hole', exchange(new Script().lose('client', read))],
    ['of a connection that is older than the watch', exchange(new Script({ syn: false }))],
    [
      'of which only the answer was captured',
      new Script({ syn: false }).lose('client', read).say({ from: 'server', text: answer(200) }),
    ],
  ];
  for (const [name, script] of rows) {
    it(`${name}: a report of that moment counts them`, () => {
      const packets = packetsOf(script);
      const calls: Call[] = [];
      const pipeline = new Pipeline({
        source: new Replay(packets),
        attribution: null,
        host: HOST,
        onCall: (call) => calls.push(call),
      });
      pipeline.start();
      assert.equal(calls.length, 0, 'the bytes are not held back');
      assert.equal(pipeline.openCalls, 1);
      const [firstUs, lastUs] = [packets[0]!.timeUs, packets.at(-1)!.timeUs];
      assert.ok(pipeline.openSinceUs! >= firstUs && pipeline.openSinceUs! <= lastUs);
      pipeline.tick(lastUs + 2_000_000);
      pipeline.tick(lastUs + 4_000_000);
      assert.equal(calls.length, 1);
      assert.deepEqual([pipeline.openCalls, pipeline.openSinceUs], [0, null]);
    });
  }
  it('cover every call that an end of the watch would still report, whatever packets are missing', () => {
    const twice = (options: object) => {
      const script = new Script(options);
      for (let n = 0; n < 3; n++) {
        script.say({ from: 'client', text: request(`GET /latest/${n}`), cuts: [30] });
        script.say({ from: 'server', text: answer(200, 'x'.repeat(n)) });
      }
      return script.fin('client').fin('server');
    };
    // The second flow is the first one behind address translation, where the SYN of both was seen.
    const flow = packetsOf(twice({}));
    const copy = packetsOf(twice({ clientAddress: '10.0.0.8', clientPort: 41_000 }));
    const both = flow.flatMap((packet, n) => [packet, copy[n]!]);
    const kept = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: both.length, maxLength: both.length });
    let heldBack = 0;
    fc.assert(
      fc.property(kept, fc.nat(both.length), (chances, length) => {
        const packets = both.slice(0, length).filter((_, n) => chances[n] !== 0);
        const calls: Call[] = [];
        const pipeline = new Pipeline({
          source: new Replay(packets),
          attribution: null,
          host: HOST,
          onCall: (call) => calls.push(call),
        });
        pipeline.start();
        const recorded = calls.length;
        const { openCalls, openSinceUs } = pipeline;
        pipeline.stop();
        // The service cannot have answered a request of which the end has not come yet.
        const late = calls.slice(recorded).filter(({ outcome }) => outcome !== 'truncated');
        if (late.length === 0) return;
        heldBack++;
        assert.ok(openCalls > 0, `none is open, and the end reports ${late.map(({ outcome }) => outcome)}`);
        for (const { time } of late) assert.ok(Date.parse(time) * 1_000 + 1_000 > openSinceUs!, time);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(heldBack > 200, `${heldBack} of the runs held something back`);
  });
});

describe('any packets', () => {
  it('with a damaged time do not set the clock wrong', () => {
    const late = new Script({ clientPort: 41_000, startUs: 1_780_000_100_000_000 })
      .say({ from: 'client', text: request('GET /latest/user-data') })
      .wait(120_000_000)
      .say({ from: 'server', text: answer(200) })
      .fin('server')
      .fin('client');
    const stray = { ...packetsOf(new Script({ clientPort: 42_000 }))[0]!, timeUs: Number.MAX_SAFE_INTEGER };
    const { calls } = fromFile([stray, ...packetsOf(late)]);
    assert.deepEqual(
      calls.map(({ outcome }) => outcome),
      ['unanswered'],
    );
  });
  it('never throw, and every call matches the contract', () => {
    const good = packetsOf(
      new Script()
        .say({ from: 'client', text: request('GET /latest/meta-data/') + request('PUT /latest/api/token') })
        .say({ from: 'server', text: answer(200) + answer(403) }),
    ).map(({ data }) => data);
    const noise = fc.uint8Array({ maxLength: 60 });
    const toService = fc
      .record({
        payload: noise,
        seq: fc.constantFrom(1_000, 1_001, 1_060, 0xffff_fff0),
        flags: fc.nat(63),
        options: fc.constant(new Uint8Array(0)),
      })
      .map((parts) => ipv4(tcp(parts)));
    const toService6 = noise.map((payload) => ipv6(tcp({ payload })));
    const damaged = fc.tuple(fc.constantFrom(...good), fc.nat(200), fc.nat(255)).map(([bytes, at, value]) => {
      const copy = Buffer.from(bytes);
      copy[at % copy.length] = value;
      return copy;
    });
    const timeUs = fc.constantFrom(
      0,
      1,
      1_780_000_000_000_000,
      1_780_000_500_000_000,
      Date.UTC(2200, 0, 1) * 1000 - 1,
    );
    const packet = fc.tuple(
      fc.oneof(noise, toService, toService6, damaged, fc.constantFrom(...good)),
      timeUs,
    );
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 30 }), (list) => {
        const packets = list.map(
          ([data, us]): Packet => ({ data, linkType: 'RAW', timeUs: us, wireLength: data.length }),
        );
        const { calls, pipeline } = fromFile(packets);
        for (const call of calls) callSchema.parse(call);
        const decoded = pipeline.counters()['decode']!;
        const { packets: taken, segments, cut_payloads: _, ...faults } = decoded;
        assert.equal(taken, packets.length);
        assert.equal(
          segments! + Object.values(faults).reduce((sum, count) => sum + count, 0),
          packets.length,
        );
      }),
      { numRuns: 1_000 },
    );
  });
});
