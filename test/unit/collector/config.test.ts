/** Settings that only make sense together; secure on every address that others can reach. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  checkCollectorSettings,
  collectorSettings,
  isAnyAddress,
  listenAddress,
} from '../../../collector/config.ts';
import { isLoopback } from '../../../common/host_address.ts';
import { OperatorError } from '../../../common/operator_error.ts';

function check(settings: Record<string, unknown>): string | null {
  try {
    checkCollectorSettings(collectorSettings.parse(settings));
    return null;
  } catch (error) {
    assert.ok(error instanceof OperatorError, String(error));
    assert.equal(error.exitCode, 2);
    return error.message;
  }
}

describe('without TLS', () => {
  it('only this machine can reach the collector', () => {
    for (const listen of [
      '127.0.0.1:0',
      '127.9.9.9:1',
      '[::1]:0',
      'localhost:8787',
      '[::ffff:127.0.0.1]:0',
    ]) {
      assert.equal(check({ listen }), null, listen);
    }
    for (const listen of [
      '0.0.0.0:0',
      '[::]:0',
      '10.0.0.1:1',
      '[fd00::1]:0',
      'collector:8787',
      '127.0.0.1.evil.example:1',
    ]) {
      assert.match(check({ listen }) ?? '', /there is no TLS.*tls_cert_file.*insecure_http/, listen);
    }
  });
  it('other machines can reach it with insecure_http or a certificate', () => {
    const listen = '0.0.0.0:0';
    assert.equal(check({ listen, insecure_http: true }), null);
    assert.equal(check({ listen, tls_self_signed: true }), null);
    assert.equal(check({ listen, tls_cert_file: 'a', tls_key_file: 'b' }), null);
  });
});

it('settings that belong together are checked together', () => {
  assert.match(check({ tls_cert_file: 'a' }) ?? '', /belong together/);
  assert.match(check({ tls_key_file: 'a' }) ?? '', /belong together/);
  assert.match(
    check({ tls_cert_file: 'a', tls_key_file: 'b', tls_self_signed: true }) ?? '',
    /one of the two/,
  );
  assert.match(check({ tls_client_ca_file: 'a' }) ?? '', /needs TLS/);
  assert.match(check({ agent_token_host: 'i-1' }) ?? '', /needs agent_token/);
  assert.match(check({ proxy_user_header: 'X-User' }) ?? '', /needs proxy_trusted_addresses/);
  assert.equal(check({ proxy_user_header: 'X-User', proxy_trusted_addresses: ['10.0.0.0/8', '::1'] }), null);
});

it('networks, headers and URLs that are not valid are refused', () => {
  const refused = (settings: Record<string, unknown>) => !collectorSettings.safeParse(settings).success;
  for (const network of [
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0',
    'proxy',
    '',
    '10.0.0.0/-1',
  ]) {
    assert.ok(refused({ proxy_trusted_addresses: [network] }), network);
  }
  for (const header of ['', 'X User', 'X-User:', 'X\nY'])
    assert.ok(refused({ proxy_user_header: header }), header);
  for (const url of ['javascript:alert(1)', 'collector', 'ftp://a'])
    assert.ok(refused({ public_url: url }), url);
});

it('addresses: loopback, every address, host and port', () => {
  assert.deepEqual(listenAddress({ listen: '[::1]:8787' }), { host: '::1', port: 8787 });
  assert.deepEqual(listenAddress({ listen: '10.0.0.1:0' }), { host: '10.0.0.1', port: 0 });
  for (const host of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0', '::0', '::ffff:0.0.0.0'])
    assert.ok(isAnyAddress(host) && !isLoopback(host), host);
  for (const host of ['127.0.0.1', '::1', 'collector']) assert.ok(!isAnyAddress(host), host);
});
