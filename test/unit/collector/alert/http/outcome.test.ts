/** Tests which answers and errors are tried again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failureOf } from '../../../../../collector/alert/failure.ts';
import { checkStatus, retryAfterMs } from '../../../../../collector/alert/http/outcome.ts';

const NOW_MS = Date.parse('2026-03-01T00:00:00Z');

function nextOf(status: number, retryAfter: string | null = null) {
  try {
    checkStatus({ status, retryAfter }, NOW_MS);
    return 'accepted';
  } catch (error) {
    const { next, retryAfterMs: waitMs } = failureOf(error);
    return waitMs === null ? next : `${next} in ${waitMs} ms`;
  }
}

test('only what can succeed is tried again', () => {
  const found = Map.groupBy(
    [
      200, 202, 204, 301, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 413, 415, 422, 425, 429, 431,
    ].concat([500, 501, 502, 503, 504, 505, 507, 522]),
    (status) => nextOf(status),
  );
  assert.deepEqual(Object.fromEntries(found), {
    accepted: [200, 202, 204],
    blocked: [301, 308, 401, 403, 404, 405],
    refused: [400, 406, 409, 410, 411, 413, 415, 422, 431, 501, 505],
    again: [408, 425, 429, 500, 502, 503, 504, 507, 522],
  });
  assert.equal(nextOf(503, '7'), 'again in 7000 ms');
  assert.equal(nextOf(400, '7'), 'refused');
});

test('Retry-After is a number of seconds or a date', () => {
  assert.equal(retryAfterMs(' 120 ', NOW_MS), 120_000);
  assert.equal(retryAfterMs('Sun, 01 Mar 2026 00:02:00 GMT', NOW_MS), 120_000);
  assert.equal(retryAfterMs('Sun, 01 Mar 2026 00:00:00 GMT', NOW_MS + 5), 0);
  for (const odd of ['', '-1', '1.5', 'soon', '2026-03-02', '99999999999999']) {
    assert.equal(retryAfterMs(odd, NOW_MS), null, odd);
  }
});

test('errors of TLS and of a password need a person, a mailbox that does not exist is final', () => {
  const withCode = (code: string, more = {}) =>
    failureOf(Object.assign(new Error(code), { code, ...more })).next;
  assert.equal(withCode('ECONNREFUSED'), 'again');
  assert.equal(withCode('ENOTFOUND'), 'again');
  assert.equal(withCode('ERR_TLS_CERT_ALTNAME_INVALID'), 'blocked');
  assert.equal(withCode('DEPTH_ZERO_SELF_SIGNED_CERT'), 'blocked');
  assert.equal(withCode('EAUTH', { responseCode: 535 }), 'blocked');
  assert.equal(withCode('EENVELOPE', { responseCode: 550 }), 'refused');
  assert.equal(withCode('EENVELOPE', { responseCode: 450 }), 'again');
  const many = new AggregateError([
    Object.assign(new Error('one'), { code: 'ECONNREFUSED' }),
    new Error('two'),
  ]);
  assert.deepEqual(failureOf(many), { error: 'one', next: 'again', retryAfterMs: null });
});
