import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { InstanceDescription, Outcome } from '../../../../enforce/cloud.ts';
import { wayBackOf } from '../../../../enforce/guards/common_guards.ts';
import type { InstanceFacts, SharedFacts, StepFacts } from '../../../../enforce/guards/facts.ts';
import { askAll, sumUp } from '../../../../enforce/guards/guard.ts';
import { INSTANCE_GUARDS } from '../../../../enforce/guards/instance_guards.ts';
import { SHARED_GUARDS } from '../../../../enforce/guards/shared_guards.ts';
import { SOAK_GUARDS } from '../../../../enforce/guards/soak_guards.ts';
import type { PlanStep, Policy } from '../../../../enforce/plan.ts';
import { readyHost } from '../../../support/enforce/fake_findings.ts';
import { instanceId, instanceStep, OPTIONAL, PLACE, POLICY, planOf } from '../../../support/enforce/plans.ts';

const NOON_MS = Date.UTC(2026, 2, 4, 12); // It is a Wednesday.
const ID = instanceId(1);

function ok<T>(value: T): Outcome<T> {
  return { ok: true, value };
}

function failed(
  kind: 'denied' | 'unsupported' | 'throttled' | 'lost' | 'other',
  code: string,
): Outcome<never> {
  return { ok: false, error: { kind, code, message: 'because' } };
}

function description(given: Partial<InstanceDescription> = {}): InstanceDescription {
  return {
    instanceId: ID,
    state: 'running',
    options: OPTIONAL,
    optionsState: 'applied',
    owner: { tags: {}, operator: null, isSpot: false },
    imageId: 'ami-1',
    launchedMs: 0,
    ...given,
  };
}

function stepFacts(step: PlanStep, policy: Partial<Policy> = {}): StepFacts {
  return {
    plan: planOf([step], { ...POLICY, ...policy }),
    step,
    nowMs: NOON_MS,
    clockAheadMs: 0,
    callerAccount: ok(PLACE.account),
    accountDefaults: ok({
      http_tokens: null,
      http_endpoint: null,
      hop_limit: null,
      instance_metadata_tags: null,
      http_tokens_enforced: null,
      managed_by: 'account',
    }),
    forward: ok(null),
    back: ok(null),
    otherPlans: [],
    refreshes: ok([]),
    alarmsNotGreen: ok([]),
    probe: null,
  };
}

function facts(
  given: Partial<InstanceFacts> = {},
  policy: Partial<Policy> = {},
  step = instanceStep(1),
): InstanceFacts {
  return {
    ...stepFacts(step, policy),
    description: ok(description()),
    describedMs: NOON_MS,
    finding: readyHost(ID),
    group: null,
    counts: ok({ instanceId: ID, accepted: 0, rejected: null }),
    atRisk: 0,
    allowedAtRisk: 1,
    ...given,
  };
}

/** Returns the guard that did not pass, with its text, for facts that should stop one guard only. */
function stopped(found: InstanceFacts): string {
  const findings = askAll(INSTANCE_GUARDS, found).filter(({ result }) => result !== 'pass');
  return findings.map(({ guard, result, text }) => `${guard} ${result}: ${text}`).join('\n');
}

function owned(tags: Record<string, string>, operator: string | null = null): Partial<InstanceFacts> {
  return { description: ok(description({ owner: { tags, operator, isSpot: false } })) };
}

function hostIs(given: Parameters<typeof readyHost>[1]): Partial<InstanceFacts> {
  return { finding: readyHost(ID, given) };
}

const RAISE = instanceStep(1, { change: { hop_limit: 2 }, role: 'hop_limit' });
const REASON = 'The team has agreed.';

describe('guards of an instance', () => {
  it('pass when everything agrees', () => {
    const findings = askAll(INSTANCE_GUARDS, facts());
    assert.equal(sumUp(findings), 'pass');
    assert.ok(
      findings.every(({ text }) => /^[A-Z0-9].*\.$/.test(text)),
      'each says so in a sentence',
    );
  });

  const cases: [string, InstanceFacts, RegExp][] = [
    [
      'no answer to the description',
      facts({ description: failed('throttled', 'RequestLimitExceeded') }),
      /^description wait: .*RequestLimitExceeded: because\./,
    ],
    ['an instance that is gone', facts({ description: ok(null) }), /^description skip: /],
    ['an old description', facts({ describedMs: NOON_MS - 61_000 }), /^description wait: .*older/],
    [
      'a stopped instance',
      facts({ description: ok(description({ state: 'stopped' })) }),
      /^description wait: .*stopped/,
    ],
    [
      'a value that is there',
      facts({ description: ok(description({ options: { ...OPTIONAL, http_tokens: 'required' } })) }),
      /^value skip: /,
    ],
    [
      'an earlier change',
      facts({ description: ok(description({ optionsState: 'pending' })) }),
      /^value wait: .*pending/,
    ],
    [
      'an unknown value',
      facts({ description: ok(description({ options: { ...OPTIONAL, http_tokens: null } })) }),
      /^value wait: .*could not be undone/,
    ],
    ['no agent ever', facts({ finding: null }), /^verdict refuse: No agent/],
    [
      'a blocked host',
      facts(hostIs({ verdict: 'blocked', reason: 'cron calls.' })),
      /^verdict refuse: The verdict is blocked\. cron calls\./,
    ],
    ['a fallback host', facts(hostIs({ verdict: 'fallback', reason: 'r' })), /^verdict refuse: /],
    [
      'a hop limit on a blocked host',
      facts(hostIs({ verdict: 'blocked', reason: 'r' }), {}, RAISE),
      /^verdict refuse: /,
    ],
    [
      'an endpoint that is off',
      facts({ description: ok(description({ options: { ...OPTIONAL, http_endpoint: 'disabled' } })) }),
      /^endpoint skip: .*stays off/,
    ],
    [
      'an instance that EKS manages',
      facts(owned({}, 'eks.amazonaws.com')),
      /^owner refuse: It belongs to eks\.amazonaws\.com/,
    ],
    [
      'the same with a reason',
      facts(owned({}, 'eks.amazonaws.com'), { owned_reason: REASON }),
      /^owner refuse: /,
    ],
    [
      'Elastic Beanstalk',
      facts(owned({ 'elasticbeanstalk:environment-name': 'shop' })),
      /^owner refuse: .*DisableIMDSv1/,
    ],
    ['a stack', facts(owned({ 'aws:cloudformation:stack-name': 'shop' })), /^owner refuse: .*stack shop/],
    [
      'an excluded tag',
      facts(owned({ keep: 'v1' }), { exclude_tags: ['keep=v1'] }),
      /^excluded refuse: .*keep=v1/,
    ],
    ['a silent agent', facts(hostIs({ isOnline: false })), /^agent wait: .*silent/],
    ['a capture that is not live', facts(hostIs({ isLive: false })), /^agent wait: .*capture/],
    [
      'calls that only the cloud counted',
      facts({ counts: ok({ instanceId: ID, accepted: 3, rejected: null }) }),
      /^cloud_count refuse: .*3 calls/,
    ],
    ['no answer of CloudWatch', facts({ counts: failed('denied', 'AccessDenied') }), /^cloud_count wait: /],
    ['a caller behind a router', facts(hostIs({ hops: 1 })), /^hops refuse: .*Raise it to 2/],
    ['a group without room', facts({ atRisk: 1 }), /^share wait: /],
    ['another account', facts({ callerAccount: ok('999999999999') }), /^account refuse: .*999999999999/],
    [
      'a change that is not permitted',
      facts({ forward: failed('denied', 'UnauthorizedOperation') }),
      /^permission refuse: /,
    ],
    [
      'a throttled dry run',
      facts({ forward: failed('throttled', 'RequestLimitExceeded') }),
      /^permission wait: /,
    ],
    [
      'a policy against going back',
      facts({ back: failed('denied', 'UnauthorizedOperation') }),
      /^way_back refuse: .*UnauthorizedOperation/,
    ],
    ['another plan', facts({ otherPlans: ['p-000000000001'] }), /^alone refuse: The plan p-000000000001/],
    [
      'an instance refresh',
      facts({ refreshes: ok([{ group: 'web', status: 'InProgress' }]) }),
      /^refresh wait: .*group web is under way \(InProgress\)/,
    ],
    [
      'refreshes that cannot be read',
      facts({ refreshes: failed('denied', 'AccessDenied') }),
      /^refresh wait: .*AccessDenied/,
    ],
    [
      'a clock that is ahead',
      facts({ clockAheadMs: -300 * 60_000 }),
      /^clock wait: .*300 minutes ahead of AWS/,
    ],
    ['a clock that is behind', facts({ clockAheadMs: 5 * 60_000 }), /^clock wait: .*5 minutes behind AWS/],
    ['an alarm', facts({ alarmsNotGreen: ok(['latency']) }), /^alarms wait: .*latency/],
    ['a red probe', facts({ probe: 7 }), /^probe wait: .*7/],
    ['a probe that is not there', facts({ probe: 'spawn ENOENT' }), /^probe wait: .*ENOENT/],
  ];
  for (const [name, found, expected] of cases) {
    it(`stop at ${name}, and say why`, () => {
      const text = stopped(found).split('\n');
      // Without a description or a finding several guards have nothing to judge.
      const isBlind = found.finding === null || !found.description.ok || found.description.value === null;
      assert.ok(text.length === 1 || isBlind, text.join('\n'));
      assert.ok(
        text.some((line) => expected.test(line)),
        text.join('\n'),
      );
    });
  }

  it('let pass what the operator or the facts allow', () => {
    const allowed: InstanceFacts[] = [
      facts(hostIs({ verdict: 'enforced', reason: 'Tokens are required.' })),
      facts(hostIs({ verdict: 'unproven', reason: 'r' }), { unproven_host_reason: REASON }),
      facts(hostIs({ verdict: 'fallback', reason: 'r' }), {}, RAISE),
      facts(hostIs({ hops: 0 })),
      facts(owned({ 'aws:cloudformation:stack-name': 'shop' }), { owned_reason: REASON }),
      facts(owned({ 'aws:cloudformation:stack-name': 'shop', 'aws:autoscaling:groupName': 'web' })),
      facts({ back: failed('denied', 'UnauthorizedOperation') }, { no_way_back_reason: REASON }),
      facts({ counts: ok(null) }),
      facts({ atRisk: 5 }, {}, RAISE),
    ];
    for (const each of allowed) assert.equal(stopped(each), '');
  });

  it('do not take a reason for one host in a plan of two', () => {
    const found = facts(hostIs({ verdict: 'unproven', reason: 'r' }), { unproven_host_reason: REASON });
    found.plan.steps.push(instanceStep(2));
    assert.match(stopped(found), /^verdict refuse/);
  });

  it('stop at a group that a member blocks, unless the plan is about one host', () => {
    const group = {
      id: 'asg:web',
      verdict: 'blocked' as const,
      reason: 'A member that is gone called.',
      startSeen: true,
    };
    assert.equal(stopped(facts({ group })), '');
    const found = facts({ group });
    found.plan.steps.push(instanceStep(2));
    assert.match(
      stopped(found),
      /^group_verdict refuse: The group asg:web is blocked\. A member that is gone called\./,
    );
    const unproven = facts({ group: { ...group, verdict: 'unproven' } });
    unproven.plan.steps.push(instanceStep(2));
    assert.equal(stopped(unproven), '');
  });

  it('know the way back as proven, waived or neither', () => {
    const closed = failed('unsupported', 'UnsupportedOperation');
    assert.equal(wayBackOf(facts()), 'proven');
    assert.equal(wayBackOf(facts({ back: closed })), 'unknown');
    assert.equal(wayBackOf(facts({ back: closed }, { no_way_back_reason: REASON })), 'waived');
    assert.equal(wayBackOf(facts({ accountDefaults: failed('denied', 'UnauthorizedOperation') })), 'unknown');
    const { accountDefaults } = facts();
    assert.ok(accountDefaults.ok);
    const enforced = ok({ ...accountDefaults.value, http_tokens_enforced: 'enabled' as const });
    assert.equal(wayBackOf(facts({ accountDefaults: enforced })), 'unknown');
    // A hop limit can be lowered whatever the account demands of tokens.
    assert.equal(wayBackOf(facts({ accountDefaults: enforced }, {}, RAISE)), 'proven');
  });
});

describe('maintenance windows', () => {
  const MINUTE = 60_000;
  const night = { days: [3], from_minute: 22 * 60, to_minute: 6 * 60 };
  const cases: [string, number, boolean][] = [
    ['at its first minute', Date.UTC(2026, 2, 4, 22), true],
    ['a minute before it', Date.UTC(2026, 2, 4, 22) - MINUTE, false],
    ['after midnight, on the next day', Date.UTC(2026, 2, 5, 5, 59), true],
    ['at its end', Date.UTC(2026, 2, 5, 6), false],
    ['after midnight of a day that has none', Date.UTC(2026, 2, 4, 5), false],
  ];
  for (const [name, nowMs, isOpen] of cases) {
    it(`${isOpen ? 'are open' : 'are closed'} ${name}`, () => {
      const found = stopped({ ...facts({}, { maintenance_windows: [night] }), nowMs, describedMs: nowMs });
      assert.equal(found, isOpen ? '' : 'window wait: It is outside all maintenance windows of the plan.');
    });
  }
});

describe('guards of what instances share', () => {
  const step: PlanStep = {
    ...instanceStep(1, { role: 'template' }),
    target: {
      type: 'template',
      ...PLACE,
      template_id: 'lt-1',
      source_version: 3,
      goes_live: true,
      groups: ['asg:web'],
    },
  };
  const version = (tokens: 'optional' | 'required' | null) =>
    ok({ templateId: 'lt-1', version: 3, options: { ...OPTIONAL, http_tokens: tokens }, restSha256: 'ab' });
  const shared = (given: Partial<SharedFacts> = {}): SharedFacts => ({
    ...stepFacts(step),
    groups: [{ id: 'asg:web', finding: { id: 'asg:web', verdict: 'ready', reason: 'r', startSeen: true } }],
    template: ok({ templateId: 'lt-1', name: 'web', defaultVersion: 1, latestVersion: 3 }),
    version: version(null),
    memberTags: [],
    ...given,
  });
  const stoppedShared = (found: SharedFacts) =>
    askAll(SHARED_GUARDS, found)
      .filter(({ result }) => result !== 'pass')
      .map(({ guard, result, text }) => `${guard} ${result}: ${text}`)
      .join('\n');

  it('ask for a ready group, a seen start, and a template that nobody else owns', () => {
    assert.equal(stoppedShared(shared()), '');
    const group = (given: object) => [
      {
        id: 'asg:web',
        finding: { id: 'asg:web', verdict: 'ready' as const, reason: 'r', startSeen: true, ...given },
      },
    ];
    assert.match(
      stoppedShared(shared({ groups: group({ verdict: 'unproven' }) })),
      /^group_verdict refuse: .*unproven/,
    );
    assert.match(stoppedShared(shared({ groups: group({ startSeen: false }) })), /^start_seen refuse: /);
    assert.match(
      stoppedShared(shared({ groups: [{ id: 'asg:web', finding: null }] })),
      /group_verdict refuse: The collector has no verdict/,
    );
    assert.match(stoppedShared(shared({ groups: [] })), /group_verdict refuse/);
    assert.match(
      stoppedShared(shared({ memberTags: [{ 'eks:nodegroup-name': 'n' }] })),
      /^owner refuse: .*EKS node group n/,
    );
    assert.match(stoppedShared(shared({ version: version('required') })), /^value skip: /);
    const newer = ok({ templateId: 'lt-1', name: 'web', defaultVersion: 1, latestVersion: 4 });
    assert.match(stoppedShared(shared({ template: newer })), /^value refuse: Version 4 is newer than 3/);
  });
});

describe('guards of the end of a soak', () => {
  it('roll back on refused calls that CloudWatch counted, and wait for a witness that does not answer', () => {
    const found = (counts: Parameters<(typeof SOAK_GUARDS)[number]['judge']>[0]['counts']) =>
      sumUp(askAll(SOAK_GUARDS, { counts, alarmsNotGreen: ok([]), probe: null, clockAheadMs: 0 }));
    assert.equal(found(ok({ instanceId: ID, accepted: null, rejected: null })), 'pass');
    assert.equal(found(ok({ instanceId: ID, accepted: null, rejected: 1 })), 'refuse');
    assert.equal(found(failed('denied', 'AccessDenied')), 'wait');
    assert.equal(found(null), 'pass');
  });

  it("wait where CloudWatch was asked by a clock that is not AWS's", () => {
    const counts = ok({ instanceId: ID, accepted: null, rejected: null });
    const facts = { counts, alarmsNotGreen: ok([]), probe: null, clockAheadMs: -3_600_000 };
    assert.equal(sumUp(askAll(SOAK_GUARDS, facts)), 'wait');
  });
});
