/** Sends alerts by every preset to a stand-in of its receiver, which refuses what the real one would refuse. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { presets } from '../../../../../collector/alert/http/presets.ts';
import { sendBy } from '../../../../../collector/alert/send.ts';
import { testAlert } from '../../../../../collector/alert/test_alert.ts';
import type { Alert } from '../../../../../collector/contract/alert.ts';
import { ALERT, kept } from '../../../../support/collector/alert/channel_bench.ts';
import { httpReceiver, type Received } from '../../../../support/collector/alert/http_receiver.ts';
import { KEY, senderOf, valuesOf } from '../../../../support/collector/alert/preset_bench.ts';
import { RECEIVERS } from '../../../../support/collector/alert/receivers.ts';
import { plainBody } from '../../../../support/collector/alert/siem_receivers.ts';

const OVER: Alert = {
  ...ALERT,
  id: '0b8ff3ff-98c5-4d3a-8f5c-0f0f6a1a0002',
  state: 'resolved',
  ended: ALERT.time,
};
const OLD: Alert = { ...OVER, object: null, hosts: [], link: null, started: ALERT.time };
async function standIn(preset: string) {
  const receiver = kept(
    await httpReceiver((response, number) => {
      const { status, body = null } = RECEIVERS[preset]!(receiver.received[number - 1]!);
      // An answer of OTLP without a partial success is an empty message.
      const text = preset === 'otlp' ? '' : JSON.stringify(body);
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    }),
  );
  return { received: receiver.received, url: `http://127.0.0.1:${receiver.port}` };
}

for (const [name, preset] of await presets()) {
  test(`${name}: alerts of every kind, alone and together, are accepted, and show no secret`, async () => {
    const { received, url } = await standIn(name);
    const sender = await senderOf(name, valuesOf(name, url));
    const alerts = [
      ALERT,
      OVER,
      OLD,
      testAlert('x', 'host_silent', 1e15, null),
      { ...ALERT, severity: 'info' as const },
    ];
    for (const alert of alerts) {
      assert.deepEqual(await sendBy(sender, [alert], {}), { ok: true }, `${alert.state} ${alert.subject}`);
    }
    const isSent = sender.preview(OVER) !== '';
    const requests = received.filter(({ path }) => !path.includes('oauth2'));
    assert.equal(requests.length, isSent ? alerts.length : alerts.length - 2);
    for (let rest = alerts; rest.length > 0; rest = rest.slice(sender.countOf(rest))) {
      assert.deepEqual(await sendBy(sender, rest.slice(0, sender.countOf(rest)), {}), { ok: true });
    }
    sender.close();
    const secrets = preset.parameters.filter(({ secret }) => secret).map(({ name: each }) => each);
    for (const request of requests) {
      // The key of PagerDuty is a field of its body by its contract.
      if (name === 'pagerduty' || secrets.length === 0) continue;
      assert.doesNotMatch(plainBody(request), /T0PSECRET/);
    }
  });

  test(`${name}: whatever the texts of an alert are, the body is accepted`, async () => {
    const { received, url } = await standIn(name);
    const sender = await senderOf(name, valuesOf(name, url));
    const text = (maxLength: number) => fc.string({ unit: 'grapheme', minLength: 1, maxLength });
    await fc.assert(
      fc.asyncProperty(text(400), text(6000), text(200), async (title, body, host) => {
        const object = { ...ALERT.object!, type: 'host' as const, name: host, id: host, owner: title };
        const hosts = [{ id: host, name: host }];
        const alert = { ...ALERT, title: `x${title}","y":"{{ 7 | times: 7 }}`, text: body, object, hosts };
        assert.deepEqual(await sendBy(sender, [alert], {}), { ok: true });
      }),
      { numRuns: 15 },
    );
    sender.close();
    assert.doesNotMatch(received.map((request: Received) => plainBody(request)).join(), /\b49\b.*"y":"49/);
  });
}

test('the stand-ins refuse what is not by their contract', async () => {
  const wrong: [string, Record<string, unknown>, object][] = [
    [
      'pagerduty',
      { body: { routing_key: KEY, event_action: 'trigger', dedup_key: '{{ dedup_key }}' } },
      { next: 'refused' },
    ],
    [
      'alertmanager',
      { body: { labels: { 'a-b': 'x' }, annotations: {}, startsAt: '{{ time }}' } },
      { next: 'refused' },
    ],
    [
      'opsgenie',
      { auth: { kind: 'header', name: 'Authorization', value: 'GenieKey other' } },
      { next: 'blocked' },
    ],
    ['elastic', { body: { message: 'no time' } }, { next: 'refused' }],
    ['teams', { body: { text: '{{ title }}' } }, { next: 'refused' }],
  ];
  for (const [name, request, expected] of wrong) {
    const { url } = await standIn(name);
    const sender = await senderOf(name, valuesOf(name, url), request);
    const result = await sendBy(sender, [ALERT], {});
    assert.equal(result.ok, false, name);
    assert.equal(!result.ok && result.next, (expected as { next: string }).next, name);
    sender.close();
  }
});

test('a token of OAuth 2.0 is kept until it ends, and renewed when the receiver does not take it any more', async () => {
  let token = 0;
  let revoked = 0;
  const receiver = kept(
    await httpReceiver((response, number) => {
      const { path, headers } = receiver.received[number - 1]!;
      if (path.includes('oauth2')) {
        token += 1;
        response.end(JSON.stringify({ access_token: `t${token}`, expires_in: 3600 }));
      } else response.writeHead(headers.authorization === `Bearer t${revoked}` ? 401 : 204).end();
    }),
  );
  let nowMs = 0;
  const values = valuesOf('sentinel', `http://127.0.0.1:${receiver.port}`);
  const sender = await senderOf('sentinel', values, undefined, () => nowMs);
  const sent = async () => [(await sendBy(sender, [ALERT], {})).ok, token];
  assert.deepEqual(
    [await sent(), await sent()],
    [
      [true, 1],
      [true, 1],
    ],
  );
  nowMs = 3_550_000;
  assert.deepEqual(await sent(), [true, 2]);
  revoked = 2;
  assert.deepEqual(await sent(), [true, 3]);
  sender.close();
});
