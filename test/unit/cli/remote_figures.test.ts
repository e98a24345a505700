/** Figures of the cloud on their way to a collector: in which parts and in which order. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CollectorClient } from '../../../cli/collector_client/collector_client.ts';
import { batches, sendAndCompare } from '../../../cli/remote_figures.ts';
import { OperatorError } from '../../../common/operator_error.ts';

const PLACE = { account: '111111111111', region: 'eu-central-1' };
const FIGURES = {
  counts: [],
  instances: [{ instance_id: 'i-1', http_tokens: 'optional', hop_limit: 1, http_endpoint: 'enabled' }],
  inventory: {
    instances: [],
    resources: [
      { kind: 'complete_read', ...PLACE, id: 'inventory', made: '2026-03-01T00:00:00Z' },
      { kind: 'image', ...PLACE, id: 'ami-1', imds_support: null },
    ],
  },
} as unknown as Parameters<typeof sendAndCompare>[0];

/** Takes requests, and fails the one with this number. */
function client(failing: number): { client: CollectorClient; sent: [string, unknown][] } {
  const sent: [string, unknown][] = [];
  const change = async (_method: string, path: string, body: unknown) => {
    if (sent.length === failing) throw new OperatorError(1, 'It is away.');
    sent.push([path, body]);
    return { stored: 1 };
  };
  return { client: { change } as unknown as CollectorClient, sent };
}

test('parts keep the order, lose nothing, and stay below what the collector takes', () => {
  const items = Array.from({ length: 120_000 }, (_, number) => ({ number }));
  const parts = batches(items);
  assert.deepEqual(parts.flat(), items);
  assert.deepEqual(
    parts.map(({ length }) => length),
    [50_000, 50_000, 20_000],
  );
  const large = Array.from({ length: 20 }, () => 'x'.repeat(1024 * 1024));
  for (const part of batches(large)) assert.ok(JSON.stringify(part).length < 9 * 1024 * 1024);
  assert.deepEqual(batches([]), []);
});

test('that a place was read completely is sent after everything else', async () => {
  const { client: taker, sent } = client(-1);
  assert.deepEqual(await sendAndCompare(FIGURES, taker), []);
  assert.deepEqual(
    sent.map(([path]) => path),
    ['/cloud/instances', '/cloud/inventory', '/cloud/inventory'],
  );
  assert.match(JSON.stringify(sent.at(-1)), /complete_read/);
  assert.doesNotMatch(JSON.stringify(sent.slice(0, -1)), /complete_read/);
});

test('a part that fails is said with how much is stored', async () => {
  const { client: taker } = client(1);
  await assert.rejects(
    sendAndCompare(FIGURES, taker),
    /Only 1 of 3 parts.*It is away\. Then run the command again/,
  );
});
