/** A call that passes for IMDSv2 without proof is never summed up with the routine ones. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pino } from 'pino';
import { Outbox } from '../../../../agent/outbox/outbox.ts';
import { agentState, HOST, makeCall } from '../../../support/collector/calls.ts';

test('an unproven call travels whole, a proven one is rolled up', async () => {
  const spoolDir = mkdtempSync(join(tmpdir(), 'imdswatch-unproven-'));
  const outbox = new Outbox({
    spoolDir,
    spoolMaxBytes: 16 * 1024 * 1024,
    host: HOST,
    agentVersion: '0.0.0-test',
    detail: 'rolled_up',
    rollupIntervalMs: 60_000,
    state: agentState,
    sink: () => ({ start: () => {}, notifyOfRecord: () => {}, stop: async () => {}, counters: () => ({}) }),
    log: pino({ level: 'silent' }),
  });
  try {
    const call = () =>
      makeCall({ 'imds.version': 2, 'imds.server_version': null, 'http.response.status_code': 404 });
    outbox.call(call(), true);
    outbox.call(call(), false);
    outbox.call(call(), true);
    const { received, whole, rolled_up } = outbox.counters()['outbox']!;
    assert.deepEqual({ received, whole, rolled_up }, { received: 3, whole: 1, rolled_up: 2 });
  } finally {
    await outbox.stop(0);
    rmSync(spoolDir, { recursive: true });
  }
});
