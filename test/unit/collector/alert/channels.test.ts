import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { emailMessage } from '../../../../collector/alert/channels/email.ts';
import { slackMessage } from '../../../../collector/alert/channels/slack.ts';
import { syslogMessage } from '../../../../collector/alert/channels/syslog.ts';
import { allowedAddresses } from '../../../../collector/alert/guarded_connect.ts';
import { isRefused } from '../../../../collector/alert/refused_addresses.ts';
import { type SendOptions, send } from '../../../../collector/alert/send.ts';
import {
  type Alert,
  type DestinationConfig,
  destinationConfig,
} from '../../../../collector/contract/administration.ts';
import { trustedCertificate } from '../../../support/collector/alert/certificate.ts';
import { httpReceiver, status } from '../../../support/collector/alert/http_receiver.ts';
import { smtpServer } from '../../../support/collector/alert/smtp_server.ts';
import {
  parseSyslog,
  streamReceiver,
  udpReceiver,
} from '../../../support/collector/alert/syslog_receiver.ts';

const ALERT: Alert = {
  id: '0b8ff3ff-98c5-4d3a-8f5c-0f0f6a1a0001',
  rule: 'credentials_over_v1',
  subject: '00000000000000a1',
  time: '2026-11-22T12:00:00.000000Z',
  severity: 'critical',
  title: 'Role credentials over IMDSv1: /opt/ä & <b>/run.sh',
  text: 'Fetched by "x" \\ [y]\nsecond line.',
  link: 'https://imdswatch.example.com/offenders/00000000000000a1',
};
const SECRET = 'S3CRET-of-the-webhook';
const certificate = trustedCertificate();

const opened: { close(): Promise<void> }[] = [];
function kept<T extends { close(): Promise<void> }>(party: T): T {
  opened.push(party);
  return party;
}
after(() => Promise.all(opened.map((party) => party.close())));

async function sendTo(config: unknown, options: SendOptions = {}) {
  return send(destinationConfig.parse(config), ALERT, { timeoutMs: 5000, ...options });
}

test('webhook: the alert as JSON with its version, signed, and the same key at every attempt', async () => {
  const receiver = kept(await httpReceiver(status(204)));
  for (let attempt = 0; attempt < 2; attempt++) {
    assert.deepEqual(await sendTo({ kind: 'webhook', url: receiver.url, secret: SECRET }), { ok: true });
  }
  const [first, second] = receiver.received;
  assert.equal(first!.method, 'POST');
  assert.equal(first!.path, '/hook/T0PSECRETPATH?key=T0PSECRETKEY');
  assert.match(first!.headers['content-type']!, /^application\/json/);
  assert.deepEqual(JSON.parse(first!.body.toString()), { version: 1, ...ALERT });
  const expected = createHmac('sha256', SECRET).update(first!.body).digest('hex');
  assert.equal(first!.headers['x-imdswatch-signature'], `sha256=${expected}`);
  assert.equal(first!.headers['idempotency-key'], `"${ALERT.id}"`);
  assert.equal(second!.headers['idempotency-key'], `"${ALERT.id}"`);
});

test('webhook: without a secret there is no signature; a user in the URL becomes Authorization', async () => {
  const receiver = kept(await httpReceiver(status(200)));
  const url = receiver.url.replace('http://', 'http://joe:p%40ss@');
  assert.deepEqual(await sendTo({ kind: 'webhook', url }), { ok: true });
  const { headers } = receiver.received[0]!;
  assert.equal(headers['x-imdswatch-signature'], undefined);
  assert.equal(headers.authorization, `Basic ${Buffer.from('joe:p@ss').toString('base64')}`);
});

test('webhook: anything but 2xx is a failure, and a redirect is not followed', async () => {
  const elsewhere = kept(await httpReceiver(status(200)));
  for (const code of [199 + 1, 301, 302, 307, 308, 400, 404, 500, 503]) {
    const receiver = kept(await httpReceiver(status(code, { location: elsewhere.url })));
    const result = await sendTo({ kind: 'webhook', url: receiver.url });
    assert.equal(result.ok, code === 200, String(code));
    if (!result.ok) assert.match(result.error, new RegExp(`HTTP ${code}`));
  }
  assert.equal(elsewhere.received.length, 0);
});

test('webhook: a server that never answers fails in time, and one that never ends its answer does not delay', async () => {
  const hanging = kept(await httpReceiver(() => undefined));
  const began = performance.now();
  const result = await sendTo({ kind: 'webhook', url: hanging.url }, { timeoutMs: 200 });
  assert.deepEqual(result, { ok: false, error: 'no answer within 0.2 s' });
  assert.ok(performance.now() - began < 2000);
  const endless = kept(await httpReceiver((response) => void response.writeHead(200).write('…')));
  assert.deepEqual(await sendTo({ kind: 'webhook', url: endless.url }), { ok: true });
});

test('an error names no part of a URL but its host', async () => {
  const receiver = await httpReceiver(status(200));
  await receiver.close();
  const refused = await sendTo({ kind: 'slack', url: receiver.url });
  assert.equal(refused.ok, false);
  assert.match(JSON.stringify(refused), /ECONNREFUSED/);
  const resolve = async (host: string) => {
    throw new Error(`cannot resolve ${host}, wanted for ${receiver.url} and for T0PSECRETPATH`);
  };
  const unresolved = await sendTo(
    { kind: 'slack', url: 'http://hooks.example.com/hook/T0PSECRETPATH' },
    {
      resolve: async () => {
        throw new Error('failed: http://hooks.example.com/hook/T0PSECRETPATH');
      },
    },
  );
  assert.doesNotMatch(JSON.stringify(unresolved), /T0PSECRET/);
  const other = await sendTo(
    { kind: 'webhook', url: receiver.url.replace('127.0.0.1', 'localhost') },
    { resolve },
  );
  assert.doesNotMatch(JSON.stringify(other), /T0PSECRETPATH\?/);
});

test('slack: text and blocks, without links or mentions from names', async () => {
  const receiver = kept(await httpReceiver(status(200)));
  assert.deepEqual(await sendTo({ kind: 'slack', url: receiver.url }), { ok: true });
  const message = JSON.parse(receiver.received[0]!.body.toString());
  assert.equal(message.text, ':rotating_light: Role credentials over IMDSv1: /opt/ä &amp; &lt;b&gt;/run.sh');
  assert.deepEqual(
    message.blocks.map(({ type }: { type: string }) => type),
    ['header', 'section', 'context'],
  );
  assert.equal(message.blocks[0].text.text, ALERT.title);
  assert.match(
    message.blocks[2].elements[0].text,
    /<https:\/\/imdswatch\.example\.com\/offenders\/00000000000000a1\|/,
  );
});

test('slack: within its limits for every alert text', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 400 }),
      fc.string({ unit: 'grapheme', maxLength: 4000 }),
      (title, text) => {
        const { text: shown, blocks } = slackMessage({ ...ALERT, title, text });
        assert.ok(blocks[0]!.text!.text.length <= 150);
        assert.ok(blocks[1]!.text!.text.length <= 3000);
        for (const markup of [shown, blocks[1]!.text!.text]) {
          assert.doesNotMatch(markup, /[<>]/);
          assert.doesNotMatch(markup, /&(?!amp;|lt;|gt;)/);
        }
      },
    ),
  );
});

test('syslog over UDP: RFC 5424, one datagram', async () => {
  const receiver = kept(await udpReceiver());
  const config = { kind: 'syslog', host: '127.0.0.1', port: receiver.port, facility: 10 };
  assert.deepEqual(await sendTo(config), { ok: true });
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
  assert.deepEqual(await sendTo(config, { timeoutMs: 300 }), { ok: false, error: 'no answer within 0.3 s' });
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

const EMAIL = {
  kind: 'email',
  host: 'localhost',
  from: 'imdswatch@example.com',
  to: ['soc@example.org', 'ops@example.org'],
};

test('email: plain text to all, over STARTTLS, signed in, with the alert as Message-ID', async () => {
  const account = { username: 'watch', password: 'T0PSECRETPASSWORD' };
  const server = kept(await smtpServer({ certificate, account }));
  assert.deepEqual(await sendTo({ ...EMAIL, port: server.port, ...account }), { ok: true });
  const [mail, ...others] = server.mails;
  assert.deepEqual(others, []);
  assert.equal(mail!.secured, true);
  assert.deepEqual([mail!.from, mail!.to], [EMAIL.from, EMAIL.to]);
  assert.match(mail!.data, new RegExp(`^Message-ID: <${ALERT.id}@example\\.com>`, 'm'));
  assert.match(mail!.data, /^Content-Type: text\/plain; charset=utf-8/m);
  assert.match(mail!.data, /^Auto-Submitted: auto-generated/m);
});

test('email: without STARTTLS nothing is sent, no password and no message', async () => {
  const server = kept(await smtpServer({ certificate, startTls: false }));
  const result = await sendTo({
    ...EMAIL,
    port: server.port,
    username: 'watch',
    password: 'T0PSECRETPASSWORD',
  });
  assert.equal(result.ok, false);
  assert.deepEqual(server.mails, []);
  assert.ok(!server.commands.some((line) => /^(AUTH|MAIL|DATA)/.test(line)), server.commands.join());
});

test('email: a certificate for another name is refused', async () => {
  const server = kept(await smtpServer({ certificate }));
  assert.equal((await sendTo({ ...EMAIL, host: '127.0.0.1', port: server.port })).ok, false);
  assert.deepEqual(server.mails, []);
});

test('email: a relay on this machine, unencrypted', async () => {
  const server = kept(await smtpServer({ certificate }));
  assert.deepEqual(await sendTo({ ...EMAIL, port: server.port, security: 'none' }), { ok: true });
  assert.equal(server.mails[0]!.secured, false);
});

test('email: a wrong password is an error that does not hold it, even where the server repeats it', async () => {
  const server = kept(
    await smtpServer({ certificate, account: { username: 'watch', password: 'another one' } }),
  );
  const result = await sendTo({
    ...EMAIL,
    port: server.port,
    username: 'watch',
    password: 'T0PSECRETPASSWORD',
  });
  assert.equal(result.ok, false);
  const text = JSON.stringify(result);
  assert.match(text, /535/);
  const encoded = Buffer.from('\0watch\0T0PSECRETPASSWORD').toString('base64');
  assert.ok(!text.includes('T0PSECRETPASSWORD') && !text.includes(encoded), text);
});

test('email: names of hosts and programs cannot add a header', async () => {
  const server = kept(await smtpServer({ certificate }));
  const title = 'x\r\nBcc: all@example.org\r\n\r\nbody\nX-A: b';
  const config = destinationConfig.parse({ ...EMAIL, port: server.port }) as Extract<
    DestinationConfig,
    { kind: 'email' }
  >;
  assert.deepEqual(await send(config, { ...ALERT, title, text: '.\r\n.\r\nQUIT' }), { ok: true });
  const [mail, ...others] = server.mails;
  assert.deepEqual(others, []);
  const head = mail!.data.slice(0, mail!.data.indexOf('\r\n\r\n'));
  assert.doesNotMatch(head, /^(Bcc|X-A):/im);
  assert.doesNotMatch(emailMessage(config, { ...ALERT, title }).subject, /[\r\n]/);
});

test('email: a server that stops answering fails in time', async () => {
  const server = kept(await streamReceiver(null));
  const result = await sendTo({ ...EMAIL, port: server.port }, { timeoutMs: 200 });
  assert.deepEqual(result, { ok: false, error: 'no answer within 0.2 s' });
});

test('link-local addresses are refused in every spelling, others are not', async () => {
  const refused = [
    '169.254.169.254', '169.254.170.2', '169.254.0.0', '::ffff:169.254.169.254', '::ffff:a9fe:a9fe',
    '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1', 'fe80::1', 'fe80::1%eth0', 'febf::1', 'fd00:ec2::254', 'fd00:ec2::23',
    // These are Alibaba, Oracle, Azure's wire server, and in IPv6 Google, Oracle and Scaleway.
    '100.100.100.200', '192.0.0.192', '168.63.129.16', 'fd20:ce::254', 'fd00:c1::a9fe:a9fe', 'fd00:42::42',
    // These are the same inside IPv6: mapped, compatible, translated, NAT64, 6to4, Teredo's server and
    // client, ISATAP.
    '::ffff:100.100.100.200', '::169.254.169.254', '::ffff:0:169.254.169.254', '64:ff9b::192.0.0.192',
    '64:FF9B::100.100.100.200', '64:ff9b:1::169.254.169.254', '64:ff9b:1:a9fe:a9:fe00::', '64:ff9b:1:aa:a9:fea9:fe00::',
    '64:ff9b:1:0:a9:fea9:fe00::', '2002:6464:64c8::', '2001:0:a9fe:a9fe::1', '2001:0:1:2:3:4:5601:5601', '2001:db8::5efe:169.254.1.1',
    '::ffff:a83f:8110', '0:0:0:0:0:ffff:a9fe:a9fe',
  ]; // biome-ignore format: a list
  for (const address of refused) assert.equal(isRefused(address), true, address);
  for (const address of [
    '127.0.0.1',
    '169.253.1.1',
    '10.0.0.1',
    '::1',
    'fd00:ec3::254',
    '2001:db8::1',
    '::ffff:10.0.0.1',
    '100.100.100.201',
    '192.0.0.191',
    '168.63.129.17',
    '64:ff9b::8.8.8.8',
    '64:ff9b:1::8.8.8.8',
    '2002:808:808::1',
    '2001:0:808:808::1',
    '2001:db8::a9fe:a9fe',
    'fd20:cf::254',
    'hooks.example.com',
    'cafe',
  ]) {
    assert.equal(isRefused(address), false, address);
  }
  await assert.rejects(
    allowedAddresses('[fe80::7]', async () => []),
    /link-local/,
  );
});

test('nothing goes to a link-local address: neither by number nor by name, nor if only one of several addresses is one', async () => {
  const resolve = async () => [
    { address: '127.0.0.1', family: 4 },
    { address: '169.254.7.7', family: 4 },
  ];
  const receiver = kept(await httpReceiver(status(200)));
  const udp = kept(await udpReceiver());
  const configs = [
    { kind: 'webhook', url: 'http://169.254.7.7/' },
    { kind: 'webhook', url: 'http://0xa9fe0707/' },
    { kind: 'slack', url: 'http://[::ffff:169.254.7.7]/' },
    { kind: 'slack', url: 'http://[fe80::7]/' },
    { kind: 'slack', url: 'http://[64:ff9b::169.254.7.7]/' },
    { kind: 'webhook', url: 'http://100.100.100.200/' },
    { kind: 'webhook', url: 'http://1684301000/' },
    { kind: 'syslog', host: '168.63.129.16' },
    { kind: 'syslog', host: 'fd20:ce::254', transport: 'tcp' },
    { kind: 'webhook', url: `http://hooks.example.com:${receiver.port}/` },
    { kind: 'syslog', host: 'logs.example.com', port: udp.port },
    { kind: 'syslog', host: 'logs.example.com', port: receiver.port, transport: 'tcp' },
    { ...EMAIL, host: 'mail.example.com', port: receiver.port },
  ];
  for (const config of configs) {
    const result = await sendTo(config, { resolve });
    assert.match(JSON.stringify(result), /link-local/, JSON.stringify(config));
  }
  assert.deepEqual([receiver.received, udp.received], [[], []]);
});
