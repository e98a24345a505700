/** Makes alerts as they are stored and sent. A test gives only the fields that it is about. */
import { randomUUID } from 'node:crypto';
import type { Alert } from '../../../../collector/contract/alert.ts';

export function alertOf(given: Partial<Alert> = {}): Alert {
  const { rule = 'host_silent', subject = 'i-1', time = '2026-03-02T00:00:00.000001Z' } = given;
  return {
    ...{
      id: randomUUID(),
      rule,
      subject,
      time,
      dedup_key: `${rule}/${subject}`,
      state: 'firing',
      ends: true,
    },
    ...{ started: time, ended: null, severity: 'warning', title: `"${subject}"`, text: 'text', link: null },
    ...{ object: null, hosts: [] },
    ...given,
  };
}
