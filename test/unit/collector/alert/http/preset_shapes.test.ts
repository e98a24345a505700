/** Tests that the shapes that are offered are those that a destination may have, and that a receiver can take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Destinations } from '../../../../../collector/alert/destinations.ts';
import { servedPresets } from '../../../../../collector/alert/http/presets.ts';
import { newDestination } from '../../../../../collector/contract/destination.ts';
import { type ShapeName, type StreamName, shapeName } from '../../../../../collector/contract/export.ts';
import type { RequestDefinition } from '../../../../../collector/contract/http_request.ts';
import { valuesOf } from '../../../../support/collector/alert/preset_bench.ts';
import { StreamBench } from '../../../../support/collector/streams/stream_bench.ts';

const offered = new Map((await servedPresets()).map(({ name, shapes }) => [name, shapes]));

test('a receiver with a form of its own has one shape, and the others have all that fit', () => {
  assert.deepEqual(offered.get('slack'), { alerts: ['native'] });
  assert.deepEqual(offered.get('otlp')!.calls, ['otlp']);
  assert.deepEqual(offered.get('elastic')!.calls, ['ecs'], 'other documents have no @timestamp');
  assert.deepEqual(offered.get('splunk')!.calls, ['native', 'ocsf', 'ecs']);
  assert.deepEqual(offered.get('webhook')!.findings, ['native', 'ocsf', 'ecs', 'asff']);
  assert.deepEqual(offered.get('elastic')!.alerts, ['native', 'ocsf', 'ecs'], 'its body has a @timestamp');
  assert.deepEqual(offered.get('sentinel')!.findings, ['native', 'ocsf', 'ecs', 'asff']);
});

test('a destination can be added with each shape that is offered, and with no other', async () => {
  const bench = new StreamBench();
  try {
    const destinations = new Destinations(bench.admin);
    const texts = new Set<string>();
    for (const [preset, streams] of offered) {
      const values = valuesOf(preset, 'https://receiver.example.com');
      for (const stream of Object.keys(streams) as StreamName[]) {
        for (const shape of shapeName.options) {
          const config = { kind: 'http', preset, values };
          const name = `${preset} ${stream} ${shape}`;
          const add = () => destinations.add(newDestination.parse({ name, stream, shape, config }));
          if (streams[stream]!.includes(shape)) await destinations.remove((await add()).id);
          else {
            await assert.rejects(add, (error: Error) => {
              assert.equal(error.name, 'OperatorError', name);
              // Each text says what to do.
              assert.match(error.message, /Choose|Set both|Leave the shape out/, name);
              texts.add(error.message.replaceAll(/\b(native|otlp|ocsf|ecs|asff|calls|alerts|audit)\b/g, 'x'));
              return true;
            });
          }
        }
      }
    }
    assert.ok(texts.size >= 4, [...texts].join('\n'));
  } finally {
    await bench.remove();
  }
});

test('a shape that a data stream of Elasticsearch would refuse is refused before, and says what to do', async () => {
  const bench = new StreamBench();
  try {
    const destinations = new Destinations(bench.admin);
    const values = valuesOf('elastic', 'https://elastic.example.com');
    const add = (shape: ShapeName, request: RequestDefinition = {}) => {
      const config = { kind: 'http', preset: 'elastic', values, request };
      return destinations.add(newDestination.parse({ name: 'siem', stream: 'calls', shape, config }));
    };
    for (const shape of ['native', 'ocsf'] as const) {
      await assert.rejects(add(shape), {
        message: `A data stream of Elasticsearch refuses each record without "@timestamp", and the shape ${shape} has none. Choose the shape ecs, or give the destination a body with "@timestamp".`,
      });
    }
    await add('ocsf', { body: { '@timestamp': '{{ time }}', ocsf: '{{ shape }}' } });
  } finally {
    await bench.remove();
  }
});
