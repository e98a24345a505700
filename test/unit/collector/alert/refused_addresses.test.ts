import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allowedAddresses } from '../../../../collector/alert/guarded_connect.ts';
import { isRefused } from '../../../../collector/alert/refused_addresses.ts';
import { kept, sendTo } from '../../../support/collector/alert/channel_bench.ts';
import { httpReceiver, status } from '../../../support/collector/alert/http_receiver.ts';
import { udpReceiver } from '../../../support/collector/alert/syslog_receiver.ts';

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
    { kind: 'http', preset: 'webhook', values: { url: 'http://169.254.7.7/' } },
    { kind: 'http', preset: 'webhook', values: { url: 'http://0xa9fe0707/' } },
    { kind: 'http', preset: 'slack', values: { url: 'http://[::ffff:169.254.7.7]/' } },
    { kind: 'http', preset: 'slack', values: { url: 'http://[fe80::7]/' } },
    { kind: 'http', preset: 'slack', values: { url: 'http://[64:ff9b::169.254.7.7]/' } },
    { kind: 'http', preset: 'webhook', values: { url: 'http://100.100.100.200/' } },
    { kind: 'http', preset: 'webhook', values: { url: 'http://1684301000/' } },
    { kind: 'syslog', host: '168.63.129.16' },
    { kind: 'syslog', host: 'fd20:ce::254', transport: 'tcp' },
    { kind: 'http', preset: 'webhook', values: { url: `http://hooks.example.com:${receiver.port}/` } },
    { kind: 'syslog', host: 'logs.example.com', port: udp.port },
    { kind: 'syslog', host: 'logs.example.com', port: receiver.port, transport: 'tcp' },
    {
      kind: 'email',
      host: 'mail.example.com',
      port: receiver.port,
      from: 'imdswatch@example.com',
      to: ['soc@example.org'],
    },
  ];
  for (const config of configs) {
    const result = await sendTo(config, { resolve });
    assert.match(JSON.stringify(result), /link-local/, JSON.stringify(config));
  }
  assert.deepEqual([receiver.received, udp.received], [[], []]);
});
