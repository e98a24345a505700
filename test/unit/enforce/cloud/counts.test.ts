/** Counts of CloudWatch, with the real SDK over the wire, against every point that the lab's cloud has. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { cloudCount } from '../../../../collector/contract/cloud.ts';
import { connect } from '../../../../enforce/cloud/connection.ts';
import { countSpans } from '../../../../enforce/cloud/count_window.ts';
import { readCounts } from '../../../../enforce/cloud/read_counts.ts';
import { countCalls, type LabRegion, type MetricName } from '../../../../lab/cloud/state.ts';
import { ACCOUNT, labCloud, REGION } from '../../../support/enforce/lab_cloud.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const OWN = { profile: null, roles: [], externalId: null };
const id = (number: number) => `i-${String(number).padStart(8, '0')}`;

describe('the window of the counts', () => {
  it('is cut without gaps into hours, whole days, and hours that are over', () => {
    const moment = fc.integer({ min: Date.UTC(2024, 0, 1), max: Date.UTC(2040, 0, 1) });
    fc.assert(
      fc.property(moment, fc.integer({ min: 1, max: 63 }), (nowMs, days) => {
        const spans = countSpans(nowMs, days);
        assert.ok(
          spans[0]!.sinceMs >= nowMs - days * DAY_MS + HOUR_MS / 2 &&
            spans[0]!.sinceMs < nowMs - days * DAY_MS + 1.5 * HOUR_MS,
        );
        const last = spans.at(-1)!.untilMs;
        assert.ok(last <= nowMs - 15 * 60_000 && last > nowMs - 15 * 60_000 - HOUR_MS);
        for (const [index, span] of spans.entries()) {
          assert.ok(span.sinceMs < span.untilMs);
          assert.equal(span.sinceMs % (span.periodSeconds * 1000), 0);
          assert.equal(span.untilMs % (span.periodSeconds * 1000), 0);
          if (index > 0) assert.equal(span.sinceMs, spans[index - 1]!.untilMs);
        }
      }),
    );
  });
});

describe('the counts', () => {
  /** Returns the sum of every metric by instance that the cloud has in the window. */
  function truth(region: LabRegion, nowMs: number, days: number): Map<string, number> {
    const spans = countSpans(nowMs, days);
    const [sinceMs, untilMs] = [spans[0]!.sinceMs, spans.at(-1)!.untilMs];
    const sums = new Map<string, number>();
    for (const metric of ['MetadataNoToken', 'MetadataNoTokenRejected'] as MetricName[]) {
      for (const [instanceId, points] of region.metrics[metric]) {
        for (const [startMs, value] of points) {
          if (startMs < sinceMs || startMs >= untilMs) continue;
          const key = `${metric} ${instanceId}`;
          sums.set(key, (sums.get(key) ?? 0) + value);
        }
      }
    }
    return sums;
  }

  async function readAll(days: number, nowMs: number, instanceIds: string[]) {
    const connection = connect(OWN, { account: ACCOUNT, region: REGION }, 'cloud-sync');
    const counts = await readCounts(connection.cloudWatch, { instanceIds, nowMs, days });
    connection.close();
    const sums = new Map<string, number>();
    const add = (key: string, value: number) => sums.set(key, (sums.get(key) ?? 0) + value);
    const seen = new Set<string>();
    for (const count of counts) {
      cloudCount.parse(count);
      const key = `${count.instance_id} ${count.start}`;
      assert.ok(!seen.has(key), `${key} is there twice`);
      seen.add(key);
      add(`MetadataNoToken ${count.instance_id}`, count.metadata_no_token);
      if (count.metadata_no_token_rejected !== null)
        add(`MetadataNoTokenRejected ${count.instance_id}`, count.metadata_no_token_rejected);
    }
    return { counts, sums };
  }

  it('are whole, quiet days as one sum, for 14 days in few calls', async (t) => {
    const api = await labCloud(t);
    api.state.pointsPerAnswer = 37;
    const region = api.state.region(ACCOUNT, REGION);
    // Metrics Insights looks two weeks back from its own clock.
    const nowMs = Date.now();
    const from = nowMs - 14 * DAY_MS;
    for (let hour = 0; hour < 14 * 24; hour += 1) {
      countCalls(region, 'MetadataNoToken', id(1), from + hour * HOUR_MS, 0);
      countCalls(region, 'MetadataNoToken', id(2), from + hour * HOUR_MS, hour % 100 === 7 ? 3 : 0);
    }
    countCalls(region, 'MetadataNoTokenRejected', id(3), from + 50 * HOUR_MS, 5);
    const { counts, sums } = await readAll(14, nowMs, [id(1), id(2), id(4)]);
    assert.deepEqual(
      [...sums].filter(([, sum]) => sum > 0).sort(),
      [...truth(region, nowMs, 14)].filter(([, sum]) => sum > 0).sort(),
    );
    const days = counts.filter(
      ({ instance_id, start, end }) =>
        instance_id === id(1) && Date.parse(end) - Date.parse(start) === DAY_MS,
    );
    assert.ok(days.length >= 12 && days.every(({ metadata_no_token }) => metadata_no_token === 0));
    // Nothing is made up for an instance without points.
    assert.ok(!counts.some(({ instance_id }) => instance_id === id(4)));
    const refused = counts.filter(({ instance_id }) => instance_id === id(3));
    assert.deepEqual(
      refused.map(({ metadata_no_token_rejected }) => metadata_no_token_rejected),
      [5],
    );
  });

  it('are asked by name where Metrics Insights leaves instances out', async (t) => {
    const api = await labCloud(t);
    const region = api.state.region(ACCOUNT, REGION);
    const nowMs = Date.now();
    const all = Array.from({ length: 620 }, (_, index) => id(index));
    for (const [index, instanceId] of all.entries())
      countCalls(region, 'MetadataNoToken', instanceId, nowMs - 3 * DAY_MS, index % 3);
    const { counts, sums } = await readAll(14, nowMs, all.slice(0, 500));
    // 414 have calls, and the 86 rows after them are zero: nobody with calls is missing.
    const busy = [...truth(region, nowMs, 14)].filter(([, sum]) => sum > 0).sort();
    assert.deepEqual([...sums].filter(([, sum]) => sum > 0).sort(), busy);
    // Two metrics in up to three spans by Metrics Insights, and 828 queries for hours of instances with calls.
    assert.equal(api.calls.length, 2 * countSpans(nowMs, 14).length + 2);
    const before = api.calls.length;
    for (const instanceId of all) countCalls(region, 'MetadataNoToken', instanceId, nowMs - 3 * DAY_MS, 1);
    const again = await readAll(14, nowMs, all);
    assert.deepEqual([...again.sums].sort(), [...truth(region, nowMs, 14)].sort());
    assert.equal(new Set(again.counts.map(({ instance_id }) => instance_id)).size, 620);
    assert.ok(counts.length > 0 && api.calls.length > before);
  });

  it('are asked by name for more than the two weeks of Metrics Insights', async (t) => {
    const api = await labCloud(t);
    const region = api.state.region(ACCOUNT, REGION);
    const nowMs = Date.now();
    countCalls(region, 'MetadataNoToken', id(1), nowMs - 20 * DAY_MS, 2);
    countCalls(region, 'MetadataNoToken', id(2), nowMs - 20 * DAY_MS, 0);
    const { sums } = await readAll(30, nowMs, [id(1), id(2)]);
    assert.deepEqual([...sums].sort(), [...truth(region, nowMs, 30)].sort());
  });
});
