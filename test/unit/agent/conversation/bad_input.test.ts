/** Tests that bad input never throws and needs bounded memory. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Segment } from '../../../../agent/conversation/segment.ts';
import { answer, play, request, Script, START_US } from '../../../support/agent/conversation/script.ts';

describe('bad input', () => {
  const bytes = fc.uint8Array({ maxLength: 3_000 });

  it('never throws, and needs bounded memory', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            fromClient: fc.boolean(),
            port: fc.integer({ min: 1, max: 4 }),
            seq: fc.oneof(fc.nat(0xffffffff), fc.nat(5_000)),
            ack: fc.oneof(fc.nat(0xffffffff), fc.nat(5_000)),
            flags: fc.nat(0x3f),
            payload: bytes,
            cut: fc.nat(20),
            step: fc.nat(300_000),
          }),
          { maxLength: 60 },
        ),
        (plan) => {
          let timeUs = START_US;
          const segments = plan.map(({ fromClient, port, seq, ack, flags, payload, cut, step }): Segment => {
            timeUs += step;
            const [model] = new Script({ clientPort: port }).segments;
            const { sourceAddress, sourcePort, destinationAddress, destinationPort } = model!;
            const forward = { sourceAddress, sourcePort, destinationAddress, destinationPort };
            const backward = {
              sourceAddress: destinationAddress,
              sourcePort: destinationPort,
              destinationAddress: sourceAddress,
              destinationPort: sourcePort,
            };
            return {
              ...(fromClient ? forward : backward),
              timeUs,
              seq,
              ack,
              flags,
              window: 1,
              options: new Uint8Array(0),
              payload,
              payloadCutBytes: cut,
              hopLimit: 64,
            };
          });
          const limits = {
            maxConnections: 3,
            maxHalfOpen: 2,
            maxPendingBytes: 6_000,
            maxPendingBytesTotal: 9_000,
          };
          const { counters, opened, closed } = play(segments, { tickUs: 70_000_000, limits });
          assert.equal(counters['pending_bytes'], 0);
          assert.equal(opened, closed);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('with 10,000 half-open connections is bounded and counted', () => {
    const segments = Array.from({ length: 10_000 }, (_, i) => {
      const script = new Script({
        clientPort: 1 + (i % 60_000),
        clientAddress: `10.0.${i >> 8}.${i & 255}`,
        clientIsn: i,
      });
      return script.segments[0]!;
    });
    const { counters, opened, closed } = play(segments, { limits: { maxHalfOpen: 4_000 } });
    assert.equal(counters['half_open_evicted'], 6_000);
    assert.equal(opened, closed);
  });

  it('with 10,000 silent connections evicts none that waits for its answer', () => {
    const speaking = new Script({ clientPort: 60_000 }).say({
      from: 'client',
      text: request('GET /latest/user-data'),
    });
    const silent = Array.from({ length: 10_000 }, (_, n) =>
      new Script({ clientPort: 20_000 + n, clientIsn: 7 * n, end: 'open' }).segments.slice(0, 2 + (n % 2)),
    ).flat();
    const rest = new Script({ clientPort: 60_000 })
      .say({ from: 'client', text: request('GET /latest/user-data') })
      .say({ from: 'server', text: answer(200) })
      .fin('server')
      .fin('client').segments;
    const { live, counters } = play([
      ...speaking.segments,
      ...silent,
      ...rest.slice(speaking.segments.length),
    ]);
    assert.deepEqual(
      live.map(({ exchange }) => exchange.outcome),
      ['answered'],
    );
    assert.equal(counters['connections_evicted'], 0);
    assert.equal(counters['connections'], 10_001);
    assert.equal(counters['half_open_connections'], 0, 'dropped at the end');
  });

  it('that is garbage is counted and gives no call', () => {
    const script = new Script().say({
      from: 'client',
      text: Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xff, 0xfe]),
    });
    for (let i = 0; i < 50; i++) script.say({ from: 'client', text: '\x00\xff'.repeat(500) });
    const { all, counters } = play(script.segments);
    assert.equal(all.length, 0);
    assert.equal(counters['malformed_requests'], 1);
    assert.ok(counters['opaque_bytes']! > 40_000);
  });

  it('with an endless line or an endless head is cut', () => {
    const line = new Script().say({
      from: 'client',
      text: `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nX-aws-ec2-metadata-token: x\r\n\r\n`,
      cuts: Array(15).fill(1_400),
    });
    const cut = play(line.segments);
    assert.equal(cut.all.length, 1);
    assert.equal(cut.all[0]!.verdict.version, 2);
    assert.ok(cut.all[0]!.exchange.request.path!.length < 8_193);
    assert.equal(cut.counters['cut_lines'], 1);
    const head = new Script().say({ from: 'client', text: 'GET / HTTP/1.1\r\n' });
    for (let i = 0; i < 800; i++)
      head.say({ from: 'client', text: 'X-Padding: zzzzzzzzzzzzzzz\r\n'.repeat(50) });
    const endless = play(head.segments);
    assert.equal(endless.counters['malformed_requests'], 1);
    assert.deepEqual(
      endless.all.map(({ exchange }) => exchange.outcome),
      ['truncated'],
    );
  });

  it('with a head that is too long is a call all the same when it is answered', () => {
    const path = '/latest/meta-data/instance-id';
    const script = new Script().say({ from: 'client', text: `GET ${path} HTTP/1.1\r\nX-Padding: ` });
    for (let i = 0; i < 120; i++) script.say({ from: 'client', text: 'z'.repeat(10_000) });
    script.say({ from: 'client', text: '\r\n\r\n' }).say({ from: 'server', text: answer(200, 'i-1') });
    const { all, counters } = play(script.segments);
    assert.deepEqual(
      all.map(({ exchange, verdict }) => [exchange.request.path, exchange.response?.status, verdict.version]),
      [[path, 200, 1]],
    );
    assert.equal(counters['malformed_requests'], 1);
  });

  it('with bytes that are not UTF-8 becomes text', () => {
    const script = new Script().say({
      from: 'client',
      text: Buffer.concat([
        Buffer.from('GET /latest/\xff\xfe\x1b[31m HTTP/1.1\r\nUser-Agent: \xff\x00x', 'latin1'),
        Buffer.from('\r\n\r\n'),
      ]),
    });
    const { all } = play(script.segments);
    assert.equal(all[0]!.exchange.request.path, '/latest/%FF%FE%1B[31m');
    assert.equal(all[0]!.exchange.request.userAgent, '\ufffd\u0000x');
  });
});
