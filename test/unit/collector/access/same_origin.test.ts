/**
 * Requests with credentials that a browser adds by itself may change something only if our own page sent
 * them.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isSameOrigin } from '../../../../collector/access/same_origin.ts';
import { sessionCookie } from '../../../../collector/access/session_cookie.ts';
import { AccessBench } from '../../../support/collector/access/access_bench.ts';

const PLAIN = { secure: false, publicUrl: null };
const SECURE = { secure: true, publicUrl: null };

describe('same origin', () => {
  const host = 'collector.example:8787';
  it('is decided by Sec-Fetch-Site if the browser sends it', () => {
    const origin = `https://${host}`;
    assert.equal(isSameOrigin({ 'sec-fetch-site': 'same-origin' }, PLAIN), true);
    for (const site of ['cross-site', 'same-site', 'none', '', 'same-origin, cross-site']) {
      assert.equal(isSameOrigin({ 'sec-fetch-site': site, origin, host }, PLAIN), false, site);
    }
  });
  it('is otherwise the origin of the request, compared with its Host header', () => {
    assert.equal(isSameOrigin({ origin: `http://${host}`, host }, PLAIN), true);
    assert.equal(isSameOrigin({ origin: `https://${host}`, host }, SECURE), true);
    assert.equal(isSameOrigin({ origin: 'https://a.example', host: 'a.example:443' }, SECURE), true);
    assert.equal(isSameOrigin(new Headers({ origin: `https://${host}`, host }), SECURE), true);
    for (const origin of [
      'https://collector.example',
      'https://collector.example:8788',
      'https://evil.example',
      'https://collector.example:8787.evil.example',
      'https://collector.example:8787@evil.example',
      'null',
      '',
      'file://',
      `https://${host}, https://evil.example`,
    ]) {
      assert.equal(isSameOrigin({ origin, host }, SECURE), false, origin);
    }
    assert.equal(
      isSameOrigin({ origin: `http://${host}`, host }, SECURE),
      false,
      'a page without TLS is another',
    );
    assert.equal(isSameOrigin({ host }, SECURE), false, 'no word about where from');
    assert.equal(isSameOrigin({ origin: `https://${host}` }, SECURE), false);
  });
  it('is also that of public_url', () => {
    const own = { secure: true, publicUrl: 'https://imdswatch.example/path' };
    assert.equal(isSameOrigin({ origin: 'https://imdswatch.example', host: '10.0.0.1:8787' }, own), true);
    assert.equal(isSameOrigin({ origin: 'https://other.example', host: '10.0.0.1:8787' }, own), false);
  });
  it('is not required with a token, but with every other credential', async () => {
    const b = await AccessBench.open();
    const principal = { name: 'x', role: 'admin', scope: null, tokenId: null } as const;
    const cross = { 'sec-fetch-site': 'cross-site' };
    assert.equal(b.access.mayChange({ ...principal, via: 'token' }, cross), true);
    assert.equal(b.access.mayChange({ ...principal, via: 'session' }, cross), false);
    assert.equal(b.access.mayChange({ ...principal, via: 'proxy' }, cross), false);
    assert.equal(b.access.mayChange(null, cross), false, 'nor may another site sign somebody in');
    assert.equal(b.access.mayChange(null, { 'sec-fetch-site': 'same-origin' }), true);
    assert.equal(b.access.counters()['cross_origin_refused'], 3);
    await b.close();
  });
});

describe('the cookie', () => {
  it('is bound to this host with TLS, and never readable by scripts or sent by other sites', () => {
    assert.equal(
      sessionCookie(true).set('S', 60),
      '__Host-imdswatch=S; Max-Age=60; Path=/; HttpOnly; SameSite=Strict; Secure',
    );
    assert.equal(
      sessionCookie(false).set('S', 60),
      'imdswatch=S; Max-Age=60; Path=/; HttpOnly; SameSite=Strict',
    );
    assert.match(sessionCookie(true).clear(), /^__Host-imdswatch=; Max-Age=0; .*Secure$/);
  });
  it('is read by its exact name', () => {
    const { read } = sessionCookie(true);
    assert.equal(read('a=1; __Host-imdswatch=S; b=2'), 'S');
    for (const header of [null, undefined, '', 'imdswatch=S', 'x__Host-imdswatch=S', '__host-imdswatch=S']) {
      assert.equal(read(header), null, String(header));
    }
  });
});
