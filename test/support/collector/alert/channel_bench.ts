/** An alert, and receivers that are closed at the end, for the tests of all channels. */
import { after } from 'node:test';
import { type SendOptions, send } from '../../../../collector/alert/send.ts';
import type { Alert } from '../../../../collector/contract/alert.ts';
import { destinationConfig } from '../../../../collector/contract/destination.ts';

export const ALERT: Alert = {
  id: '0b8ff3ff-98c5-4d3a-8f5c-0f0f6a1a0001',
  rule: 'credentials_over_v1',
  subject: '00000000000000a1',
  dedup_key: 'credentials_over_v1/00000000000000a1',
  state: 'firing',
  ends: true,
  time: '2026-11-22T12:00:00.000000Z',
  started: '2026-11-22T12:00:00.000000Z',
  ended: null,
  severity: 'critical',
  title: 'Role credentials over IMDSv1: /opt/ä & <b>/run.sh',
  text: 'Fetched by "x" \\ [y]\nsecond line.',
  link: 'https://imdswatch.example.com/offenders/00000000000000a1',
  object: {
    type: 'offender',
    id: '00000000000000a1',
    name: '/opt/ä & <b>/run.sh',
    account: '123456789012',
    region: 'eu-central-1',
    accounts: ['123456789012'],
    regions: ['eu-central-1'],
    tags: {},
    owner: null,
  },
  hosts: [{ id: 'i-1', name: 'web-1' }],
};
export const SECRET = 'S3CRET-of-the-webhook';
const opened: { close(): Promise<void> }[] = [];
/** Closes `receiver` after the tests of the file. */
export function kept<T extends { close(): Promise<void> }>(receiver: T): T {
  opened.push(receiver);
  return receiver;
}
after(() => Promise.all(opened.map((receiver) => receiver.close())));

/** Sends `ALERT` to a destination with this configuration. */
export async function sendTo(config: unknown, options: SendOptions = {}) {
  return send(destinationConfig.parse(config), ALERT, { timeoutMs: 5000, ...options });
}
