/**
 * Secrets planted in requests, headers, answers, command lines and destinations: none is in the body of any stream, in any
 * shape, by any preset, and in no error of a receiver that sends them back.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { FileSource } from '../../../../agent/capture/file_source.ts';
import { PacketClock } from '../../../../agent/capture/packet_clock.ts';
import type { Outbox } from '../../../../agent/outbox/outbox.ts';
import { Pipeline } from '../../../../agent/pipeline.ts';
import { maskArgs } from '../../../../agent/secrets/mask.ts';
import { servedPresets } from '../../../../collector/alert/http/presets.ts';
import type { Destination } from '../../../../collector/contract/destination.ts';
import type { ShapeName, StreamName } from '../../../../collector/contract/export.ts';
import type { Collector } from '../../../../collector/main.ts';
import type { Call } from '../../../../protocol/call.ts';
import { SecretFinder } from '../../../support/agent/identity/secret_finder.ts';
import { httpReceiver } from '../../../support/collector/alert/http_receiver.ts';
import { valuesOf } from '../../../support/collector/alert/preset_bench.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { acknowledged, Bench } from '../../../support/collector/in_process.ts';
import { Person } from '../../../support/collector/person.ts';
import { eventually } from '../../../support/collector/stored.ts';
import { PLANTED_ANSWER, plantedCapture } from '../../../support/lab/planted_capture.ts';
import { plantedCallers, plantedRequests } from '../../../support/lab/planted_secrets.ts';

const HOST = {
  ...{ id: 'i-0123456789abcdef0', name: 'web-1', 'cloud.account.id': '123456789012' },
  'cloud.region': 'eu-central-1',
};
/** A secret that the receiver sends back in its answers: that of the destination. */
const OWN = /T0PSECRET/;

interface Target {
  name: string;
  stream: StreamName;
  preset: string;
  shape: ShapeName;
  /** Bodies without compression. */
  bodies: string[];
}

describe('planted secrets in streams', () => {
  const bench = new Bench();
  // The tests of the agent have the encodings.
  const requests = plantedRequests('live');
  const callers = plantedCallers('/nowhere').filter(({ place }) => /^argument .*, plain$/.test(place));
  const targets: Target[] = [];
  let collector: Collector;
  let person: Person;
  let outbox: Outbox;
  let isHostile = false;
  let sentCalls = 0;

  before(async () => {
    collector = await bench.collector({ agent_heartbeat_seconds: 1 });
    person = await Person.signIn(collector);
  });
  after(() => bench.end());

  function seenCalls(): Call[] {
    const file = join(bench.directory(), 'planted.pcap');
    writeFileSync(file, plantedCapture(requests));
    const calls: Call[] = [];
    const pipeline: Pipeline = new Pipeline({
      source: new PacketClock(new FileSource(file), (nowUs) => pipeline.tick(nowUs)),
      attribution: null,
      host: HOST,
      onCall: (call) => calls.push(call),
    });
    pipeline.start();
    pipeline.stop();
    assert.equal(calls.length, requests.length);
    const now = new Date().toISOString().replace('Z', '000Z');
    const asked = calls.map((call) => ({ ...call, time: now }));
    const started = callers.map(({ argv }, at) => {
      const args = maskArgs(argv);
      const ancestors = [{ pid: 2, name: 'sh', 'executable.path': '/bin/sh', command_args: args }];
      const process = processFacts({ command_args: args, ancestors, script: `/opt/${at}.py` });
      return makeCall({ host: HOST, process });
    });
    return [...asked, ...started];
  }

  async function addTargets(streams: readonly StreamName[]): Promise<void> {
    for (const { name: preset, shapes } of await servedPresets()) {
      for (const stream of streams) {
        for (const shape of shapes[stream] ?? []) {
          const target: Target = { name: `${preset} ${stream} ${shape}`, stream, preset, shape, bodies: [] };
          const receiver = await httpReceiver((response, number) => {
            const { path, headers, body } = receiver.received[number - 1]!;
            const plain = headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body;
            if (!path.includes('oauth2')) target.bodies.push(plain.toString('latin1'));
            answer(response, target, { path, text: plain.toString() });
          });
          bench.atEnd(() => receiver.close());
          const values = valuesOf(preset, `http://127.0.0.1:${receiver.port}`);
          const json = { name: target.name, stream, shape, config: { kind: 'http', preset, values } };
          const added = await person.ask('/alert/destinations', { method: 'POST', json });
          assert.equal(added.status, 201, `${target.name}: ${await added.text()}`);
          targets.push(target);
        }
      }
    }
  }

  /** Accepts what comes, or sends it back with secrets beside it. */
  function answer(
    response: ServerResponse,
    { preset }: Target,
    { path, text }: { path: string; text: string },
  ) {
    if (path.includes('oauth2')) {
      response.end(JSON.stringify({ access_token: 'T0PSECRET-access', expires_in: 3600 }));
    } else if (!isHostile) {
      const items = text.split('\n').map(() => ({ create: { status: 201 } }));
      response.end(preset === 'otlp' ? '' : JSON.stringify({ errors: false, items }));
    } else {
      const echo = `T0PSECRETKEY T0PSECRETTOKEN T0PSECRET-access ${PLANTED_ANSWER.secret} ${text}`;
      response.writeHead(400, { 'retry-after': echo.slice(0, 80) });
      response.end(JSON.stringify({ error: { type: echo, reason: echo }, message: echo }));
    }
  }

  const destinations = async () =>
    ((await person.json('/alert/destinations')) as { items: Destination[] }).items;
  const sentOf = async (stream: StreamName) =>
    (await destinations()).filter((each) => each.stream === stream).map(({ progress }) => progress!.sent);

  it('reach every stream in every shape by every preset', async () => {
    await addTargets(['calls', 'audit']);
    await eventually('all streams have begun', async () =>
      (await destinations()).every(({ progress }) => progress!.since !== null),
    );
    outbox = bench.outbox(collector.address.url, { host: HOST });
    const calls = seenCalls();
    for (const call of calls) outbox.call(call);
    sentCalls = calls.length;
    await eventually('all calls are stored', () => acknowledged(outbox) >= calls.length);
    await addTargets(['findings']);
    await eventually('all calls are sent', async () =>
      (await sentOf('calls')).every((sent) => sent === calls.length),
    );
    for (const stream of ['findings', 'audit'] as const) {
      await eventually(`the stream ${stream} is sent`, async () =>
        (await sentOf(stream)).every((sent) => sent > 0),
      );
    }
    for (const { name, stream, bodies } of targets) {
      assert.ok(bodies.length > 0, name);
      if (stream !== 'calls') continue;
      const text = bodies.join('\n');
      const missing = [...requests, ...callers].filter(({ marker }) => !text.includes(marker));
      assert.deepEqual(
        missing.map(({ place }) => place),
        [],
        `${name}: each place is reached`,
      );
    }
    assert.ok(targets.length >= 20, `${targets.length} destinations`);
  });

  it('come back in no error, list, log or metric', async () => {
    isHostile = true;
    for (const call of seenCalls().slice(0, 3)) outbox.call({ ...call, id: makeCall().id });
    await eventually('every receiver of calls refuses', async () =>
      (await destinations()).every(({ stream, given_up }) => stream !== 'calls' || given_up >= 3),
    );
    for (const { name, stream, given_up_reason: reason } of await destinations()) {
      if (stream === 'calls') assert.match(reason!, /^it was refused: the receiver answered HTTP 400/, name);
    }
  });

  it('are nowhere', async () => {
    const texts = targets.map(({ name, bodies }): [string, string] => [name, bodies.join('\n')]);
    for (const path of ['/alert/destinations', '/alert/presets', '/audit', '/alerts']) {
      texts.push([path, JSON.stringify(await person.json(path))]);
    }
    const metrics = await person.ask('/../../metrics');
    texts.push(['the metrics', await metrics.text()], ['the log', JSON.stringify(bench.logged)]);
    assert.match(texts.at(-2)![1], new RegExp(`sent_total\\{.*calls.*\\} ${sentCalls}`));
    const finder = new SecretFinder([...requests, ...callers, PLANTED_ANSWER]);
    for (const [name, text] of texts) {
      assert.deepEqual([...finder.placesIn(text)], [], name);
      assert.doesNotMatch(text, OWN, name);
    }
  });
});
