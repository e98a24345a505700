import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { syslogMessage } from '../../../../../collector/alert/channels/syslog.ts';
import { trustedCertificate } from '../../../../support/collector/alert/certificate.ts';
import { ALERT, kept, sendTo } from '../../../../support/collector/alert/channel_bench.ts';
import {
  parseSyslog,
  streamReceiver,
  udpReceiver,
} from '../../../../support/collector/alert/syslog_receiver.ts';
import { eventually } from '../../../../support/collector/stored.ts';

const certificate = trustedCertificate();

test('syslog over UDP: RFC 5424, one datagram', async () => {
  const receiver = kept(await udpReceiver());
  const config = { kind: 'syslog', host: '127.0.0.1', port: receiver.port, facility: 10 };
  assert.deepEqual(await sendTo(config), { ok: true });
  await eventually('the datagram has arrived', () => receiver.received.length > 0);
  const [message, ...others] = receiver.received;
  assert.deepEqual(others, []);
  assert.deepEqual(
    [message!.facility, message!.severity, message!.app, message!.messageId, message!.time],
    [10, 2, 'imdswatch', 'credentials_over_v1', ALERT.time],
  );
  assert.equal(message!.data['imdswatch@32473']!['id'], ALERT.id);
  assert.equal(message!.message, `${ALERT.title}: Fetched by "x" \\ [y] second line.`);
});

test('syslog over UDP: no receiver is an error, if the network reports it', async () => {
  const receiver = await udpReceiver();
  await receiver.close();
  const result = await sendTo({ kind: 'syslog', host: '127.0.0.1', port: receiver.port });
  assert.equal(result.ok, false);
});

test('syslog over TCP and TLS: frames by octet counting', async () => {
  for (const transport of ['tcp', 'tls'] as const) {
    const receiver = kept(await streamReceiver(transport === 'tls' ? certificate : null));
    const config = { kind: 'syslog', host: 'localhost', port: receiver.port, transport };
    assert.deepEqual(await sendTo(config), { ok: true });
    assert.deepEqual(await sendTo(config), { ok: true });
    assert.deepEqual(receiver.faults, []);
    assert.deepEqual(
      receiver.received.map(({ data }) => data['imdswatch@32473']!['id']),
      [ALERT.id, ALERT.id],
    );
  }
});

test('syslog over TLS: a certificate for another name is refused', async () => {
  const receiver = kept(await streamReceiver(certificate));
  const result = await sendTo({ kind: 'syslog', host: '127.0.0.1', port: receiver.port, transport: 'tls' });
  assert.equal(result.ok, false);
  assert.deepEqual(receiver.received, []);
});

test('syslog over TLS: a server that does not speak TLS fails in time', async () => {
  const receiver = kept(await streamReceiver(null));
  const config = { kind: 'syslog', host: 'localhost', port: receiver.port, transport: 'tls' };
  assert.deepEqual(await sendTo(config, { timeoutMs: 300 }), {
    ok: false,
    error: 'no answer within 0.3 s',
    next: 'again',
    retryAfterMs: null,
  });
});

test('syslog: every alert text is one valid message within the limit', () => {
  const sender = { facility: 23, hostname: 'hôst name', processId: '1' };
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 600 }),
      fc.string({ unit: 'grapheme', maxLength: 3000 }),
      fc.string({ unit: fc.constantFrom('"', '\\', ']', 'a', ' '), maxLength: 40 }),
      (title, text, subject) => {
        const bytes = syslogMessage({ ...ALERT, title, text, subject }, sender, 2048);
        assert.ok(bytes.length <= 2048);
        const message = parseSyslog(bytes);
        assert.equal(message.data['imdswatch@32473']!['subject'], subject.replace(/ +/g, ' ').trim());
        assert.doesNotMatch(message.message, /[\x00-\x1f]/);
      },
    ),
  );
});
