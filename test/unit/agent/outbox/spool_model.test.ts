import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { LaneName } from '../../../../agent/outbox/lanes.ts';
import {
  afterKill,
  closeSpools,
  LANES,
  newDirectory,
  openSpool,
} from '../../../support/agent/outbox/spool_fixture.ts';

test('any mix of appending, sending, lost acknowledgements and kills delivers every record exactly once', async () => {
  type Step =
    | { do: 'append'; lane: LaneName; size: number }
    | { do: 'send' | 'ack' | 'lose ack' | 'kill' | 'restart' };
  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('append' as const),
        lane: fc.constantFrom(...LANES),
        size: fc.integer({ min: 0, max: 9000 }),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('send' as const, 'ack' as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom('lose ack' as const, 'kill' as const, 'restart' as const) }),
    },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 120 }),
      fc.constantFrom(96 * 1024, 8 * 1024 * 1024),
      async (steps, maxBytes) => {
        let directory = newDirectory();
        let spool = openSpool(directory, { maxBytes });
        /** The batches that the collector has stored, by number. */
        const stored: string[][] = [];
        let appended = 0;
        const receive = (seq: number, records: string[]) => {
          if (seq <= stored.length) assert.deepEqual(records, stored[seq - 1], `batch ${seq} changed`);
          else {
            assert.equal(seq, stored.length + 1);
            stored.push(records);
          }
        };
        const reconnect = () => {
          spool.resumeAfter(stored.length);
          for (const { seq, records } of spool.unacknowledgedBatches()!) receive(seq, records.map(String));
        };
        for (const next of steps) {
          switch (next.do) {
            case 'append':
              spool.appendRecord(next.lane, JSON.stringify({ appended, fill: 'x'.repeat(next.size) }));
              appended += 1;
              break;
            case 'send': {
              const batch = spool.takeBatch(7, 20_000);
              if (batch !== null) receive(batch.seq, batch.records.map(String));
              break;
            }
            case 'ack':
              spool.acknowledgeBatches(stored.length, 0);
              break;
            case 'lose ack':
              reconnect();
              break;
            case 'kill':
              directory = afterKill(directory);
              spool = openSpool(directory, { maxBytes });
              reconnect();
              break;
            case 'restart':
              await spool.close();
              spool = openSpool(directory, { maxBytes });
              reconnect();
          }
        }
        spool.acknowledgeBatches(stored.length, 0);
        for (let batch = spool.takeBatch(7, 20_000); batch !== null; batch = spool.takeBatch(7, 20_000)) {
          receive(batch.seq, batch.records.map(String));
          spool.acknowledgeBatches(batch.seq, 0);
        }
        const delivered = stored.flat().map((json) => (JSON.parse(json) as { appended: number }).appended);
        assert.equal(new Set(delivered).size, delivered.length, 'twice');
        assert.equal(delivered.length + spool.counters()['overflowed']!, appended);
        assert.equal(spool.counters()['lost'], 0);
        if (maxBytes > 1024 * 1024) assert.equal(delivered.length, appended);
        await closeSpools();
      },
    ),
    { numRuns: 60 },
  );
});
