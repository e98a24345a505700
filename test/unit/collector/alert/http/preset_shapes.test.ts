/** Tests that the shapes that are offered are those that a destination may have, and that a receiver can take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Destinations } from '../../../../../collector/alert/destinations.ts';
import { servedPresets } from '../../../../../collector/alert/http/presets.ts';
import { newDestination } from '../../../../../collector/contract/destination.ts';
import { shapeName } from '../../../../../collector/contract/export.ts';
import { StreamBench } from '../../../../support/collector/streams/stream_bench.ts';

const offered = new Map((await servedPresets()).map(({ name, shapes }) => [name, shapes]));

test('a receiver with a form of its own has one shape, and the others have all that fit', () => {
  assert.deepEqual(offered.get('slack'), { alerts: ['native'] });
  assert.deepEqual(offered.get('otlp')!.calls, ['otlp']);
  assert.deepEqual(offered.get('elastic')!.calls, ['ecs'], 'other documents have no @timestamp');
  assert.deepEqual(offered.get('splunk')!.calls, ['native', 'ocsf', 'ecs']);
  assert.deepEqual(offered.get('webhook')!.findings, ['native', 'ocsf', 'ecs', 'asff']);
});

test('a destination can be added with each shape that is offered, and with no other', async () => {
  const bench = new StreamBench();
  try {
    const destinations = new Destinations(bench.admin);
    const streams = offered.get('webhook')!;
    for (const stream of ['calls', 'findings', 'audit'] as const) {
      for (const shape of shapeName.options) {
        const values = { url: 'https://receiver.example.com/in' };
        const config = { kind: 'http', preset: 'webhook', values };
        const adding = destinations.add(
          newDestination.parse({ name: `${stream} ${shape}`, stream, shape, config }),
        );
        if (streams[stream]!.includes(shape)) await adding;
        else await assert.rejects(adding, { name: 'OperatorError' }, `${stream} ${shape}`);
      }
    }
  } finally {
    await bench.remove();
  }
});
