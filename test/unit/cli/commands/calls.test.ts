/** `imdswatch calls` prints the stored calls, each once, in the shape that is asked for. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, test } from 'node:test';
import { servedCall } from '../../../../collector/contract/served_call.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import { ecsErrors } from '../../../support/collector/export/ecs_fields.ts';
import { ocsfErrors } from '../../../support/collector/export/ocsf_schema.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { newFindings } from '../../../support/collector/insight/findings.ts';

const bench = new Bench();
after(() => bench.end());

test('the stored calls are printed in each shape, newest first, over all pages', async () => {
  const { dataDir, put } = newFindings(bench);
  const begin = Date.now() - 3 * 3_600_000;
  const calls = Array.from({ length: 1001 }, (_, number) =>
    makeCall({
      time: new Date(begin + number * 1000).toISOString().replace('Z', '000Z'),
      'imds.version': number === 7 ? 2 : 1,
    }),
  );
  await put(...calls);
  const lines = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['cli/main.ts', 'calls', ...args, '--data-dir', dataDir],
      { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024, env: { ...process.env, IMDSWATCH_CONFIG: undefined } },
    );
    assert.equal(status, 0, stderr);
    return stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line));
  };
  const ids = calls.map(({ id }) => id).reverse();
  const native = lines();
  assert.deepEqual(
    native.map(({ id }) => id),
    ids,
  );
  assert.ok(native.every((call) => servedCall.strict().safeParse(call).success));

  const events = lines('--format', 'ocsf');
  assert.deepEqual(
    events.map(({ metadata }) => metadata.uid),
    ids,
  );
  assert.deepEqual(ocsfErrors(events[0]), []);
  const documents = lines('--format', 'ecs', '--imds-version', '2', '--since', 'all');
  assert.deepEqual(
    documents.map(({ event }) => event.id),
    [calls[7]!.id],
  );
  assert.deepEqual(ecsErrors(documents[0]), []);
  const requests = lines('--format', 'otlp');
  assert.equal(requests.length, 11, 'a line has 100 calls');
  assert.deepEqual(lines('--since', '1s'), []);
});
