/** The questions of `imdswatch enforce` to a real store. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { EnforcementQuestions } from '../../../../collector/insight/enforcement.ts';
import { toTimestamp } from '../../../../collector/store/time.ts';
import type { Call } from '../../../../protocol/call.ts';
import { makeCall, processFacts } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { newFindings, watched } from '../../../support/collector/insight/findings.ts';

const NOON_MS = Date.UTC(2026, 2, 4, 12);
const OPTIONS = { readinessWindowDays: 14, silentAfterSeconds: 300, now: () => NOON_MS };
const ASKED = { hostIds: ['i-1'], scalingGroups: ['web'] };

describe('questions of the enforcement', () => {
  const bench = new Bench();
  after(() => bench.end());

  const at = (seconds: number) => toTimestamp((NOON_MS + seconds * 1000) * 1000);
  const call = (host: string, seconds: number, changes: Partial<Call> = {}, group?: string) =>
    makeCall({
      host: {
        id: host,
        name: host,
        ...(group === undefined ? {} : { tags: { 'aws:autoscaling:groupName': group } }),
      },
      time: at(seconds),
      'imds.version': 1,
      'imds.server_version': 2,
      'http.response.status_code': 401,
      outcome: 'answered',
      process: processFacts({ script: '/opt/old.sh' }),
      ...changes,
    });

  it('finds refused calls of its hosts and of new members of their groups, and no others', async () => {
    const { store, put } = newFindings(bench);
    const wanted = call('i-1', -10);
    const member = call('i-2', -9, {}, 'web');
    await put(
      wanted,
      member,
      call('i-3', -8),
      call('i-4', -8, {}, 'db'),
      call('i-1', -100),
      call('i-1', -7, { 'http.response.status_code': 200 }),
      // A stale token, a client that adapts, another cloud's path and a proxy of the host break nothing.
      call('i-1', -6, { 'imds.version': 2 }),
      call('i-1', -5, { 'imds.fallback': 'adapted' }),
      call('i-1', -4, { 'imds.category': 'other-cloud' }),
      call('i-1', -3, { answered_by: 'host' }),
    );
    const questions = new EnforcementQuestions(store, OPTIONS);
    const refused = await questions.refusedCalls(NOON_MS - 60_000, ASKED);
    assert.deepEqual(refused.map(({ id }) => id).sort(), [wanted.id, member.id].sort());
    const found = refused.find(({ host }) => host === 'i-1')!;
    assert.equal(found.caller.title, '/opt/old.sh');
    assert.equal(found.time, at(-10));
    assert.deepEqual((await questions.hostsOfCaller(found.caller.id)).sort(), ['i-1', 'i-2', 'i-3', 'i-4']);
    const accepted = await questions.acceptedCalls(['i-1', 'i-2'], NOON_MS - 60_000);
    assert.deepEqual(
      accepted.map(({ time }) => time),
      [at(-7)],
    );
  });

  it('lists the hosts of a place that are new since a time', async () => {
    const { store, put } = newFindings(bench);
    const place = { 'cloud.account.id': '111111111111', 'cloud.region': 'eu-central-1' };
    const host = (id: string, facts: object) => ({ id, name: id, ...facts });
    await put(
      call('i-1', -100, { host: host('i-1', place) }),
      call('i-2', -50, { host: host('i-2', { ...place, tags: { team: 'web' } }) }),
      call('i-3', -50, { host: host('i-3', { ...place, 'cloud.region': 'us-east-1' }) }),
      call('i-4', -50, { host: host('i-4', {}) }),
    );
    const questions = new EnforcementQuestions(store, OPTIONS);
    const asked = { account: '111111111111', region: 'eu-central-1' };
    const found = await questions.newHosts(asked, NOON_MS - 60_000);
    assert.deepEqual(found, [{ hostId: 'i-2', tags: { team: 'web' } }]);
  });

  it('counts watched time up to the last report, without gaps', async () => {
    const { store, put } = newFindings(bench);
    await put(call('i-1', -200), watched('i-1', at(-120), at(-80)));
    await put(call('i-1', -201), watched('i-1', at(-60), at(-20)));
    const questions = new EnforcementQuestions(store, OPTIONS);
    const span = { sinceMs: NOON_MS - 100_000, untilMs: NOON_MS };
    const ms = await questions.watched(['i-1', 'i-9'], span);
    // It was watched from -100 s to -80 s and from -60 s to -20 s. Nobody vouches for the time after that yet.
    assert.deepEqual([...ms], [['i-1', 60_000]]);
    const later = await questions.watched(['i-1'], { sinceMs: NOON_MS - 10_000, untilMs: NOON_MS });
    assert.equal(later.get('i-1'), 0);
  });
});
