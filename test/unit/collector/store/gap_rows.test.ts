/** Rows of gaps: merged beyond the bound, and never less than was added. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import fc from 'fast-check';
import { FINDINGS } from '../../../../collector/store/sqlite/findings_schema.ts';
import { GapRows, MAX_GAPS_OF_DAY } from '../../../../collector/store/sqlite/gap_rows.ts';

test('gaps in any order have bounded rows, and cover everything that was added', () => {
  const database = new DatabaseSync(':memory:');
  for (const step of FINDINGS.migrations) {
    if (typeof step === 'string') database.exec(step);
    else step(database);
  }
  const spans = fc.array(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 20 })), {
    minLength: 1,
    maxLength: 200,
  });
  fc.assert(
    fc.property(spans, (given) => {
      database.exec('DELETE FROM gaps');
      const gaps = new GapRows(database);
      for (const [start, length] of given) {
        gaps.addGap(1, 'losses', start * 1_000_000, (start + length) * 1_000_000, '{"x":1}', 0);
      }
      const kept = database.prepare('SELECT start_us, end_us, amounts FROM gaps').all();
      assert.ok(kept.length <= MAX_GAPS_OF_DAY);
      for (const [start, length] of given) {
        assert.ok(
          kept.some(
            (gap) =>
              Number(gap['start_us']) <= start * 1_000_000 &&
              Number(gap['end_us']) >= (start + length) * 1_000_000,
          ),
        );
      }
      const lost = kept.reduce(
        (sum, gap) => sum + (JSON.parse(String(gap['amounts'])) as { x: number }).x,
        0,
      );
      assert.equal(lost, given.length);
    }),
  );
});
