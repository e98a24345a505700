import assert from 'node:assert/strict';
import { test } from 'node:test';
import { catalogueFindings } from '../../../../cli/doctor/backstage.ts';
import type { OwnerCatalogue } from '../../../../collector/contract/owner.ts';

const NOW = Date.parse('2026-11-22T08:00:00Z');
const GOOD: OwnerCatalogue = {
  ...{ url: 'https://b.example', read: '2026-11-22T07:00:00.000000Z', entities: 3, rules: 4 },
  ...{ without_owner: 1, without_rule: 2, unreadable: 0, left_out: 0 },
  ...{ rules_invalid: 0, invalid: [], rules_ambiguous: 0, ambiguous: [] },
  ...{ failures: 0, failed: null, error: null },
};
const findings = (changes: Partial<OwnerCatalogue>) =>
  catalogueFindings({ ...GOOD, ...changes }, 3600, NOW).map(({ status, text }) => [status, text]);

test('a catalogue that was read lately is good; a late, failing or defective one is not', () => {
  const [[status, text] = []] = findings({});
  assert.equal(status, 'ok');
  assert.match(text!, /^the catalogue https:\/\/b\.example was read .* ago; 4 rules name owners$/);
  assert.deepEqual(findings({ read: null }), [['warn', 'the catalogue https://b.example was never read']]);
  assert.equal(findings({ read: '2026-11-22T05:59:00.000000Z' })[0]![0], 'warn');
  const failing = findings({ failures: 2, error: 'status 401' })[0]!;
  assert.equal(failing[0], 'warn');
  assert.match(failing[1]!, /; 2 attempts have failed since, the last with: status 401$/);
  assert.deepEqual(findings({ left_out: 5, rules_ambiguous: 1 })[1], [
    'warn',
    'in the catalogue 5 entities beyond the limit were left out, 1 rules have more than one owner',
  ]);
});
