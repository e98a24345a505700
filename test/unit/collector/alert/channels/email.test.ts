import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emailMessage } from '../../../../../collector/alert/channels/email.ts';
import { send } from '../../../../../collector/alert/send.ts';
import { type DestinationConfig, destinationConfig } from '../../../../../collector/contract/destination.ts';
import { trustedCertificate } from '../../../../support/collector/alert/certificate.ts';
import { ALERT, kept, sendTo } from '../../../../support/collector/alert/channel_bench.ts';
import { smtpServer } from '../../../../support/collector/alert/smtp_server.ts';
import { streamReceiver } from '../../../../support/collector/alert/syslog_receiver.ts';

const certificate = trustedCertificate();

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
  assert.deepEqual(result, {
    ok: false,
    error: 'no answer within 0.2 s',
    next: 'again',
    retryAfterMs: null,
  });
});
