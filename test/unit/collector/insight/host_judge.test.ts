/** Tests in which order the evidence about hosts is read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HostJudge } from '../../../../collector/insight/host_judge.ts';
import type { StoreQueries } from '../../../../collector/store/store.ts';

const NOW_US = Date.UTC(2026, 10, 20, 12) * 1000;

test('coverage has been read before calls are asked for, and both are about the time of the data', async () => {
  const order: string[] = [];
  let nowUs = NOW_US;
  const store = new Proxy({} as StoreQueries, {
    get:
      (_, name: string) =>
      async (...question: unknown[]) => {
        const [first] = question as [{ sinceUs?: number; window?: { sinceUs: number } }];
        order.push(`${name} asked`);
        await new Promise((resolve) => setImmediate(resolve));
        // The first answer shows that the data is of a minute ago.
        nowUs = NOW_US - 60_000_000;
        order.push(`${name} answered`);
        const sinceUs = first.window?.sinceUs ?? first.sinceUs;
        if (['coverage', 'hostTotals', 'cloudCounts'].includes(name)) {
          assert.equal(sinceUs, nowUs - 14 * 86_400_000_000, name);
        }
        return [];
      },
  });
  const judge = new HostJudge(store, { readinessWindowDays: 14, silentAfterSeconds: 300 }, () => nowUs);
  await judge.judgeHosts({ sinceUs: 0, untilUs: NOW_US }, ['i-1']);
  assert.ok(order.indexOf('coverage answered') < order.indexOf('hostTotals asked'), order.join(', '));
  assert.ok(order.includes('hostTotals answered'));
});
