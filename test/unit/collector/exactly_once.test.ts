/**
 * Any mix of retries, reconnects, two connections of a stream, protocols and restarts of the collector: every
 * call counts once.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, test } from 'node:test';
import fc from 'fast-check';
import { openStoreForReading } from '../../../collector/store/sqlite/sqlite_store.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { Bench } from '../../support/collector/in_process.ts';
import { type Frame, Peer } from '../../support/collector/peer.ts';
import { TOKEN } from '../../support/collector/processes.ts';
import { ALL, ALL_CALLS, callerOf } from '../../support/collector/store/records.ts';
import { eventually } from '../../support/collector/stored.ts';

const bench = new Bench();
afterEach(() => bench.end());

type Step =
  | { do: 'send'; calls: number; again: number }
  | { do: 'reconnect'; protocol: 1 | 2; beside: boolean }
  | { do: 'restart' }
  | { do: 'resend'; from: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('send' as const), calls: fc.nat(5), again: fc.nat(2) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('reconnect' as const),
      protocol: fc.constantFrom(1 as const, 2 as const),
      beside: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('resend' as const), from: fc.nat(8) }) },
);

test('roll-ups and raw calls agree with the records that were sent', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 14 }), async (steps) => {
      const dataDir = bench.directory();
      let collector = await bench.collector({ data_dir: dataDir });
      const stream = randomUUID();
      const sent: ReturnType<typeof makeCall>[][] = [];
      let protocol: 1 | 2 = 1;
      let defined = false;
      let secret = TOKEN;
      let peer: Peer;
      const frame = (seq: number): Frame => {
        const calls = sent[seq - 1]!;
        if (protocol === 1)
          return { type: 'batch', seq, records: calls.map((call) => ({ kind: 'call', call })) };
        const callers = defined ? [] : [{ ref: 0, ...callerOf(makeCall()) }];
        defined = true;
        return {
          type: 'batch',
          seq,
          callers,
          records: calls.map((call) => ({ kind: 'call', caller: 0, call })),
        };
      };
      const connect = async (version: 1 | 2) => {
        protocol = version;
        defined = false;
        const headers = { authorization: `Bearer ${secret}` };
        peer = await new Peer(bench, collector.address.url, headers).hello({
          stream,
          protocol: 1,
          protocol_max: version,
        });
        const { last_seq: last, credential } = await peer.next('welcome');
        if (typeof credential === 'string') secret = credential;
        for (let seq = Number(last) + 1; seq <= sent.length; seq += 1) peer.send(frame(seq));
        await acknowledged();
      };
      const acknowledged = async () => {
        if (sent.length === 0) return;
        peer.send(frame(sent.length));
        await eventually('the last batch is acknowledged', () =>
          peer.frames.some(({ type, seq }) => type === 'ack' && seq === sent.length),
        );
      };
      await connect(2);
      for (const item of steps) {
        switch (item.do) {
          case 'send':
            sent.push(Array.from({ length: item.calls }, () => makeCall()));
            for (let copy = 0; copy <= item.again; copy += 1) peer!.send(frame(sent.length));
            break;
          case 'resend':
            for (let seq = Math.max(1, sent.length - item.from); seq <= sent.length; seq += 1)
              peer!.send(frame(seq));
            break;
          case 'reconnect':
            if (!item.beside) peer!.socket.terminate();
            await connect(item.protocol);
            break;
          default:
            await collector.stop();
            collector = await bench.collector({ data_dir: dataDir });
            await connect(protocol);
        }
      }
      await acknowledged();
      await collector.stop();
      const store = openStoreForReading(dataDir);
      try {
        const wanted = sent.flat().map(({ id }) => id);
        const stored = (await store.calls(ALL_CALLS, 1000, null)).calls.map(({ id }) => id);
        assert.deepEqual(stored.toSorted(), wanted.toSorted());
        for (const totals of [await store.identityTotals(ALL), await store.callTotals(ALL)]) {
          const counted = totals.flatMap(({ kinds }) => kinds).reduce((sum, { count }) => sum + count, 0);
          assert.equal(counted, wanted.length);
        }
        assert.equal((await store.statistics()).calls, wanted.length);
      } finally {
        await store.close();
      }
    }),
    { numRuns: 4, endOnFailure: true },
  );
});
