/** Makes the alert by which somebody tries a destination. */
import { randomUUID } from 'node:crypto';
import type { Alert, AlertRule } from '../contract/alert.ts';
import { toTimestamp } from '../store/time.ts';

export function testAlert(destination: string, rule: AlertRule, nowUs: number, link: string | null): Alert {
  const id = randomUUID();
  const time = toTimestamp(nowUs);
  return {
    ...{ id, rule, subject: 'test', dedup_key: `test/${id}`, state: 'firing', ends: false },
    ...{ time, started: time, ended: null, severity: 'info' },
    title: 'Test alert from imdswatch',
    text: `Alerts reach "${destination}". This is only a test.`,
    ...{ link, object: null, hosts: [] },
  };
}
