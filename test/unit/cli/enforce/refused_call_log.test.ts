import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  RefusedCallLog,
  type RefusedCalls,
  refusedCallsDetail,
} from '../../../../cli/enforce/refused_call_log.ts';
import type { EventOf } from '../../../../enforce/state/events.ts';

const T0 = Date.parse('2026-03-04T12:00:00Z');

function call(at: number, caller = 'old.py', host = 'i-1'): EventOf<'refused_call'> {
  const named = { id: `id of ${caller}`, title: caller };
  return {
    type: 'refused_call',
    at,
    host,
    groups: [],
    caller: named,
    call: `${caller} ${host} ${at}`,
    also_on: [],
  };
}

describe('entries about refused calls', () => {
  it('are one for the first call of a caller on a host, then one a minute with the number of calls', () => {
    const log = new RefusedCallLog();
    const entries: string[] = [];
    const write = (found: readonly (RefusedCalls | null)[]) => {
      for (const each of found) if (each !== null) entries.push(refusedCallsDetail(each));
    };
    // A client that retries ten times a second for two minutes, and another caller in between.
    for (let ms = 0; ms <= 120_000; ms += 100) {
      write([log.note(call(T0 + ms))]);
      if (ms === 30_000) write([log.note(call(T0 + ms, 'job.sh')), log.note(call(T0 + ms, 'old.py', 'i-2'))]);
    }
    write([log.note(call(T0 + 120_050))]);
    write(log.due(Number.POSITIVE_INFINITY));
    assert.deepEqual(entries, [
      'old.py on i-1',
      'job.sh on i-1',
      'old.py on i-2',
      'old.py on i-1: 600 calls from 2026-03-04T12:00:00.100Z to 2026-03-04T12:01:00.000Z',
      'old.py on i-1: 600 calls from 2026-03-04T12:01:00.100Z to 2026-03-04T12:02:00.000Z',
      'old.py on i-1',
    ]);
  });

  it('come when the minute is over, although no further call follows', () => {
    const log = new RefusedCallLog();
    log.note(call(T0));
    assert.equal(log.note(call(T0 + 1000)), null);
    assert.deepEqual(log.due(T0 + 59_999), []);
    assert.deepEqual(
      log.due(T0 + 60_000).map(({ calls, firstMs }) => [calls, firstMs]),
      [[1, T0 + 1000]],
    );
    assert.deepEqual(log.due(Number.POSITIVE_INFINITY), []);
  });

  it('count every call once, and stand a minute apart for each caller on a host', () => {
    const step = fc.record({
      wait: fc.integer({ min: 0, max: 90_000 }),
      caller: fc.constantFrom('a', 'b'),
      host: fc.constantFrom('i-1', 'i-2'),
      isCall: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const log = new RefusedCallLog();
        const counted = new Map<string, number>();
        const written = new Map<string, number>();
        const lastMs = new Map<string, number>();
        let at = T0;
        const write = (found: readonly RefusedCalls[], isEnd = false) => {
          for (const { host, caller, calls } of found) {
            const key = `${caller} ${host}`;
            written.set(key, (written.get(key) ?? 0) + calls);
            if (!isEnd) assert.ok(at - (lastMs.get(key) ?? Number.NEGATIVE_INFINITY) >= 60_000);
            lastMs.set(key, at);
          }
        };
        for (const { wait, caller, host, isCall } of steps) {
          at += wait;
          if (isCall) {
            counted.set(`${caller} ${host}`, (counted.get(`${caller} ${host}`) ?? 0) + 1);
            const entry = log.note(call(at, caller, host));
            if (entry !== null) write([entry]);
          } else write(log.due(at));
        }
        write(log.due(Number.POSITIVE_INFINITY), true);
        assert.deepEqual(written, new Map([...counted].filter(([, calls]) => calls > 0)));
      }),
    );
  });
});
