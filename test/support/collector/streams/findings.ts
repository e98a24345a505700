/** Makes findings as they are stored and sent. A test gives only the fields that it is about. */
import { randomUUID } from 'node:crypto';
import type { VerdictFinding } from '../../../../collector/contract/finding.ts';

export function findingOf(given: Partial<VerdictFinding> = {}): VerdictFinding {
  const time = '2026-03-02T00:00:00.000000Z';
  return {
    ...{ id: randomUUID(), key: 'verdict/i-1', change: 'new', type: 'verdict' },
    ...{ time, first_seen: time, last_seen: time, severity: 'warning', title: 't', text: 'x', link: null },
    host: {
      ...{ id: 'i-1', name: 'web-1', account: null, region: null, zone: null, type: null, image_id: null },
      ...{ tags: {}, http_tokens: null, hop_limit: null },
    },
    ...{ verdict: 'blocked', reason: 'r', coverage_percent: 100 },
    ...given,
  };
}
