import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bareHost, isLoopback } from '../../../common/host_address.ts';

test('the brackets around an IPv6 address are taken off, and nothing else', () => {
  assert.equal(bareHost('[fd00:ec2::254]'), 'fd00:ec2::254');
  assert.equal(bareHost('::1'), '::1');
  assert.equal(bareHost('collector.example'), 'collector.example');
});

test('an address is loopback in every spelling, with and without brackets', () => {
  const loopback = ['localhost', 'LOCALHOST', '127.0.0.1', '127.8.9.10', '::1', '0:0:0:0:0:0:0:1'];
  for (const host of [...loopback, '::ffff:127.0.0.1', '::ffff:7f00:1']) {
    assert.ok(isLoopback(host), host);
    if (host.includes(':')) assert.ok(isLoopback(`[${host}]`), `[${host}]`);
  }
  const others = ['127.0.0.1.example', '127.1', '10.0.0.1', '::', '::2', '[::2]', '::ffff:10.0.0.1', ''];
  for (const host of [...others, 'localhost.example', '0.0.0.0']) assert.ok(!isLoopback(host), host);
});

test('the host of a URL is recognised as the URL has it', () => {
  assert.ok(isLoopback(new URL('ws://[::1]:8787').hostname));
  assert.ok(isLoopback(new URL('ws://127.1:8787').hostname), 'a URL writes short addresses out');
  assert.ok(!isLoopback(new URL('ws://[fd00::1]:8787').hostname));
});
