/** Checks verdicts by examples. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DAY_US, HOUR_US } from '../../../../collector/contract/window.ts';
import { REPORT_GRACE_US } from '../../../../collector/insight/coverage_gaps.ts';
import type { HostCoverage, StoredGap } from '../../../../collector/store/store.ts';
import { toMicroseconds } from '../../../../collector/store/time.ts';
import {
  coverage,
  evidence,
  FACTS,
  FALLBACK,
  gap,
  JUDGING,
  PLAIN,
  REFUSED,
  REQUIRED,
  readinessFor,
  SECOND_US,
  verdict,
} from '../../../support/collector/insight/evidence.ts';
import { calls, NOON_US } from '../../../support/collector/insight/rows.ts';

describe('verdicts', () => {
  it('ready: watched all the time, and no call without a token', () => {
    const readiness = readinessFor(evidence([calls({ version: 2 })]));
    assert.equal(readiness.verdict, 'ready');
    assert.equal(
      readiness.command,
      'aws ec2 modify-instance-metadata-options --instance-id i-0123456789abcdef0 --region eu-west-1 --http-tokens required --http-endpoint enabled',
    );
    assert.match(
      readiness.command_notes[0]!,
      /get-instance-metadata-defaults --region eu-west-1.*HttpTokensEnforced/,
    );
    assert.equal(readiness.command_notes.length, 2);
    assert.equal(readiness.coverage.percent, 100);
    assert.equal(readiness.ready_at, null);
  });

  it('the command never turns the service on', () => {
    const isOff = calls({ version: 2, category: 'token', status: 403, firstUs: NOON_US, lastUs: NOON_US });
    for (const kinds of [
      [],
      [isOff],
      [calls({ version: 2 }), isOff],
      [calls({ version: 2, status: null })],
    ]) {
      const { verdict: said, command, command_notes } = readinessFor(evidence(kinds));
      assert.equal(said, 'ready');
      assert.match(command!, /--http-tokens required$/);
      assert.match(command_notes.at(-1)!, /leaves that as it is/);
    }
    // An emulator or a proxy on the host answers, whether the instance's own service is on or off.
    const byHost = calls({ version: 2, answeredBy: 'host' });
    assert.match(readinessFor(evidence([byHost])).command!, /required$/);
    const tasksOnly = calls({ version: null, endpoint: 'ecs' });
    assert.match(readinessFor(evidence([tasksOnly])).command!, /required$/);
    assert.deepEqual(readinessFor(evidence([calls({})])).command_notes, []);
  });

  it("the cloud's inventory says that the service is off, or on, if it is newer than the answers", () => {
    const answered = calls({ version: 2, lastUs: NOON_US });
    const commandWith = (httpEndpoint: 'enabled' | 'disabled', suppliedUs: number, kinds = [answered]) => {
      const cloudInstance = { ...REQUIRED, httpTokens: 'optional' as const, httpEndpoint, suppliedUs };
      return readinessFor(evidence(kinds, { cloudInstance })).command!;
    };
    assert.match(commandWith('disabled', NOON_US + 1), /--http-tokens required$/);
    assert.match(commandWith('disabled', NOON_US - 1), /--http-endpoint enabled$/);
    assert.match(commandWith('enabled', NOON_US - 1, []), /--http-endpoint enabled$/);
  });

  it('the reason names what decides the verdict first, and then the longest gaps', () => {
    const tolerated = [gap(13, 10, 'boot'), gap(12, 9, 'agent_not_running'), gap(11, 8, 'capture_not_live')];
    for (const decisive of ['losses', 'not_kept'] as const) {
      const host = evidence([], { coverage: coverage([...tolerated, gap(10, 1, decisive)]) });
      const { verdict: said, reason } = readinessFor(host);
      assert.equal(said, 'unproven');
      const text = decisive === 'losses' ? 'packets or records were lost' : 'the host sent invalid records';
      assert.match(reason, new RegExp(`is tolerated, losses and invalid records never are\\): ${text}`));
      assert.match(reason, /; between shutdown and the first report after a boot \(10 s\); the agent/);
    }
  });

  it('refused calls that only the cloud saw decide beside a tolerated gap, and end with the window', () => {
    const [startUs, endUs] = [NOON_US - 2 * DAY_US, NOON_US - 2 * DAY_US + HOUR_US];
    const count = { hostId: FACTS.id, startUs, endUs, noToken: 0, noTokenRejected: 3 };
    const host = evidence([], {
      coverage: coverage([gap(13, 10, 'boot')]),
      compared: { counts: [count], seen: [0], seenRefused: [1] },
    });
    const { verdict: said, reason, ready_at, coverage: watched } = readinessFor(host);
    assert.equal(said, 'unproven');
    assert.match(reason, /^The cloud counted 2 refused calls without a token that the agent did not see/);
    assert.equal(toMicroseconds(ready_at!), endUs + 14 * DAY_US);
    assert.match(
      watched.gaps.at(-1)!.detail!,
      /cloud counted 3 refused calls without a token, the agent saw 1/,
    );
  });

  it('many gaps, each far below the tolerance, are added up', () => {
    const second = (count: number) =>
      Array.from({ length: count }, (_, index) => gap(13 - index / 10, 1, 'agent_not_running'));
    assert.equal(verdict(evidence([], { coverage: coverage(second(60)) })), 'ready');
    assert.equal(verdict(evidence([], { coverage: coverage(second(61)) })), 'unproven');
  });

  it('a report that was not live for a part of its time counts with that part', () => {
    const part = (count: number): StoredGap[] =>
      Array.from({ length: count }, (_, index) => ({
        ...gap(13 - index / 100, 60, 'capture_not_live'),
        missingUs: 300_000,
      }));
    const tolerated = readinessFor(evidence([], { coverage: coverage(part(200)) }));
    assert.equal(tolerated.verdict, 'ready');
    assert.match(tolerated.reason, /watched except for 60 s/);
    assert.equal(tolerated.coverage.gaps[0]!.seconds, 0.3);
    const { verdict: said, coverage: seen } = readinessFor(evidence([], { coverage: coverage(part(201)) }));
    assert.equal(said, 'unproven');
    assert.ok(Math.abs(seen.window_seconds - seen.watched_seconds - 60.3) < 1e-6);
  });

  it('states the parts of the host that are left out; without eBPF these are more', () => {
    for (const [losses, codes, text] of [
      [{ 'capture.one_namespace': 1 }, ['one_namespace'], /raw packets from one with a way of its own/],
      [{ 'capture.one_interface': 1 }, ['one_interface', 'one_namespace'], /raw packets by another one/],
      [
        { 'capture.one_interface': 1, 'coverage.kernel_not_asked': 1 },
        ['short_lived_namespaces', 'one_interface', 'one_namespace'],
        /only: calls by another one/,
      ],
    ] as const) {
      const {
        verdict: said,
        reason,
        limits,
      } = readinessFor(evidence([], { coverage: coverage([], { losses }) }));
      assert.equal(said, 'ready');
      assert.match(reason, text);
      assert.deepEqual(
        limits.map(({ code }) => code),
        codes,
      );
    }
  });

  it('a verdict names what it cannot rule out while reports without eBPF are in the window', () => {
    for (const changes of [
      { kernelConnections: null },
      { losses: { 'coverage.kernel_not_asked': 1 } },
    ] satisfies Partial<HostCoverage>[]) {
      const {
        verdict: said,
        reason,
        limits,
      } = readinessFor(evidence([], { coverage: coverage([], changes) }));
      assert.equal(said, 'ready');
      assert.match(reason, /cannot be ruled out/);
      assert.deepEqual(
        limits.map(({ code }) => code),
        ['short_lived_namespaces'],
      );
    }
    assert.deepEqual(readinessFor(evidence()).limits, []);
    assert.deepEqual(readinessFor(evidence([], { coverage: null })).limits, []);
  });

  it('blocked, fallback, rejected: seen calls count, with any gaps', () => {
    for (const seen of [coverage(), coverage([gap(3, 5000, 'losses')]), null]) {
      assert.equal(verdict(evidence([PLAIN], { coverage: seen })), 'blocked');
      assert.equal(verdict(evidence([PLAIN, FALLBACK], { coverage: seen })), 'blocked');
      assert.equal(verdict(evidence([FALLBACK], { coverage: seen })), 'fallback');
      assert.equal(verdict(evidence([REFUSED], { coverage: seen })), 'rejected');
    }
    const later = { firstUs: NOON_US - 60 * SECOND_US, lastUs: NOON_US - 60 * SECOND_US };
    assert.equal(verdict(evidence([PLAIN, { ...REFUSED, ...later }])), 'rejected');
    assert.equal(verdict(evidence([REFUSED, { ...PLAIN, ...later }])), 'blocked');
    const hops = (count: number) => ({
      identity: '0123456789abcdef',
      hostId: FACTS.id,
      hops: count,
      tokenHopLimit: 2,
      lastUs: NOON_US,
    });
    const fallback = readinessFor(evidence([FALLBACK], { measuredHops: [hops(1), hops(2)] }));
    assert.match(fallback.command!, /--http-put-response-hop-limit 3$/);
    assert.match(fallback.reason, /Raise the hop limit to 3 first/);
    const onHost = readinessFor(evidence([FALLBACK], { measuredHops: [hops(0)] }));
    assert.equal(onHost.command, null);
    assert.match(onHost.reason, /The hop limit is enough: find out first what drops the answers/);
    const unknown = readinessFor(evidence([FALLBACK]));
    assert.equal(unknown.command, null, 'never a constant');
    assert.match(unknown.reason, /how far the callers are from the service/);
    assert.equal(readinessFor(evidence([PLAIN])).command, null);
  });

  it('a call without a token blocks, with any method and caller', () => {
    assert.equal(verdict(evidence([calls({ category: 'other', status: 405 })])), 'blocked');
    assert.equal(verdict(evidence([calls({ outcome: 'unanswered', status: null })])), 'blocked');
    assert.equal(verdict(evidence([calls({ endpoint: 'ipv6' })])), 'blocked');
  });

  it('calls to endpoints of tasks and pods have no version, and blocked attempts do not count', () => {
    const harmless = [
      calls({ version: null, endpoint: 'ecs' }),
      calls({ version: null, endpoint: 'eks' }),
      calls({ version: null, outcome: 'blocked', status: null }),
    ];
    assert.equal(verdict(evidence(harmless)), 'ready');
  });

  it('enforced: tokens are required and no call was tried without; a refusal that only the cloud counted prevents it', () => {
    assert.equal(verdict(evidence([], { cloudInstance: REQUIRED, coverage: null })), 'enforced');
    const stale = { ...REQUIRED, suppliedUs: NOON_US - 100 * DAY_US };
    assert.equal(verdict(evidence([], { cloudInstance: stale, coverage: null })), 'unproven');
    assert.equal(verdict(evidence([REFUSED], { cloudInstance: REQUIRED })), 'rejected');
    assert.equal(verdict(evidence([PLAIN], { cloudInstance: REQUIRED })), 'blocked');
    const count = {
      hostId: FACTS.id,
      startUs: NOON_US - HOUR_US,
      endUs: NOON_US,
      noToken: 0,
      noTokenRejected: 2,
    };
    const compared = { counts: [count], seen: [0] };
    assert.equal(verdict(evidence([], { cloudInstance: REQUIRED, compared })), 'unproven');
  });

  it('unproven: each kind of gap is named; a restart within the tolerance is no gap', () => {
    assert.equal(verdict(evidence([], { coverage: coverage([gap(2, 59, 'agent_not_running')]) })), 'ready');
    assert.equal(
      verdict(evidence([], { coverage: coverage([gap(2, 61, 'agent_not_running')]) })),
      'unproven',
    );
    const twice = [gap(2, 40, 'boot'), gap(5, 40, 'agent_not_running')];
    assert.equal(verdict(evidence([], { coverage: coverage(twice) })), 'unproven');
    assert.equal(verdict(evidence([], { coverage: coverage([gap(2, 1, 'losses')]) })), 'unproven');
    assert.equal(verdict(evidence([], { coverage: null })), 'unproven');
    const fresh = coverage([], { firstUs: NOON_US - 3 * DAY_US });
    const readiness = readinessFor(evidence([], { coverage: fresh }));
    assert.deepEqual(
      [readiness.verdict, readiness.coverage.gaps[0]!.reason],
      ['unproven', 'not_yet_watched'],
    );
    assert.match(readiness.reason, /before its first report \(11 days\)/);
    assert.equal(readiness.command, null);
    // It can be ready when the window starts at its first report, less the tolerated minute.
    assert.equal(toMicroseconds(readiness.ready_at!), fresh.firstUs! + 14 * DAY_US - JUDGING.toleranceUs);
    const gone = coverage([], { lastUs: NOON_US - REPORT_GRACE_US - 1 });
    assert.equal(readinessFor(evidence([], { coverage: gone })).coverage.gaps[0]!.reason, 'no_report');
    assert.equal(
      verdict(evidence([], { coverage: coverage([], { lastUs: NOON_US - REPORT_GRACE_US }) })),
      'ready',
    );
  });

  it('ready again when the hour of the last call has left the window', () => {
    const { ready_at } = readinessFor(evidence([PLAIN]));
    assert.equal(toMicroseconds(ready_at!), NOON_US + 14 * DAY_US);
  });

  it('the percentage is 100 only if not a second is missing', () => {
    const { coverage: of } = readinessFor(evidence([], { coverage: coverage([gap(2, 1, 'boot')]) }));
    assert.deepEqual([of.percent, of.gap_count], [99.99, 1]);
  });

  it('only the longest gaps are listed if there are too many', () => {
    const many = Array.from({ length: 150 }, (_, index) =>
      gap(10 - index / 20, index + 1, 'agent_not_running'),
    );
    const { coverage: of } = readinessFor(evidence([], { coverage: coverage(many) }));
    assert.deepEqual([of.gap_count, of.gaps.length, of.gaps[0]!.seconds], [150, 100, 150]);
  });
});
