import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownerSummaries } from '../../../../collector/insight/owner_summaries.ts';
import { makeOffender } from '../../../support/collector/api/findings.ts';
import { NO_TRIAGE } from '../../../support/collector/triage.ts';

test('owners have the sums of their workloads: most workloads first, and those without an owner last', () => {
  const of = (owner: string | null, changes: Partial<ReturnType<typeof makeOffender>> = {}) =>
    makeOffender(1, {
      triage: { ...NO_TRIAGE, owner },
      severity: 'v1',
      calls_v1: 2,
      hosts_freed: 3,
      last_v1: '2027-01-01T00:00:00.000000Z',
      ...changes,
    });
  const late = '2027-01-02T00:00:00.000000Z';
  const found = ownerSummaries([
    of(null),
    of(null),
    of(null),
    of('b', { severity: 'credentials' }),
    of('a'),
    of('b', { last_v1: late }),
    of('c', { severity: 'none' }),
  ]);
  assert.deepEqual(
    found.map((each) => Object.values(each)),
    [
      ['owner:b', 'b', 2, 1, 4, 6, late],
      ['owner:a', 'a', 1, 0, 2, 3, '2027-01-01T00:00:00.000000Z'],
      ['none', null, 3, 0, 6, 9, '2027-01-01T00:00:00.000000Z'],
    ],
  );
});
