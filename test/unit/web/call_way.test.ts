/** Tests what the page says about relays and answerers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { answererEvidence } from '../../../protocol/call.ts';
import { answererText, connectionText, relayText, roleText } from '../../../web/src/parts/call_way.ts';

const RELAY = {
  pid: 812,
  name: 'envoy',
  'executable.path': '/usr/local/bin/envoy',
  script: null,
  'owner.uid': 1337,
};
const OLD_AGENT = {};
const CERTAIN = {
  answered_by: 'service',
  'answered_by.evidence': 'departure',
  'answered_by.confidence': 'exact',
} as const;

describe('the way of a call', () => {
  it('names the relay with its kind', () => {
    assert.equal(
      relayText({ via: { kind: 'redirect', ...RELAY } }),
      'Sent on by a sidecar: /usr/local/bin/envoy, pid 812',
    );
    assert.equal(
      relayText({ via: { kind: 'user_network', ...RELAY, 'executable.path': null } }),
      'Sent on by a user-mode network: envoy, pid 812',
    );
    assert.equal(relayText({ via: null }), null);
    assert.equal(relayText(OLD_AGENT), null);
  });

  it('says who opened the connection of a caller that did not', () => {
    const handed = { 'caller.connection': 'handed', opener: { ...RELAY, script: '/srv/pool.py' } } as const;
    assert.equal(
      connectionText(handed),
      'The connection was opened by /srv/pool.py, pid 812, and handed to the caller',
    );
    assert.match(connectionText({ 'caller.connection': 'handed', opener: null })!, /by another process/);
    assert.match(connectionText({ 'caller.connection': 'shared' })!, /^Several processes use the connection/);
    assert.equal(connectionText({ 'caller.connection': 'own', opener: null }), null);
    assert.equal(connectionText(OLD_AGENT), null);
  });

  it('marks a caller that acts for others', () => {
    assert.match(roleText({ 'caller.role': 'relay' })!, /for another program, which is not known/);
    assert.equal(roleText({ 'caller.role': null }), null);
  });

  it('says who answered unless it is plainly the service', () => {
    assert.equal(answererText(OLD_AGENT), null);
    assert.equal(answererText(CERTAIN), null);
    assert.equal(
      answererText({ ...CERTAIN, 'answered_by.confidence': 'probable' }),
      'Answered by the service (probable): a packet left for it',
    );
    const byHost = { ...CERTAIN, answered_by: 'host', 'answered_by.evidence': 'loopback' } as const;
    assert.equal(
      answererText(byHost),
      'Answered on this host (certain): no packet left the loopback interface',
    );
    const unknown = { ...CERTAIN, 'answered_by.evidence': 'none', 'answered_by.confidence': 'none' } as const;
    assert.match(answererText(unknown)!, /^Nothing shows who answered/);
    assert.match(answererText({ ...unknown, 'answered_by.confidence': 'probable' })!, /the answer names it$/);
  });

  it('has a text for each evidence', () => {
    for (const evidence of answererEvidence.options) {
      const call = {
        answered_by: 'host',
        'answered_by.evidence': evidence,
        'answered_by.confidence': 'exact',
      };
      assert.match(answererText(call as typeof CERTAIN)!, /^Answered on this host \(certain\): \w/);
    }
  });
});
