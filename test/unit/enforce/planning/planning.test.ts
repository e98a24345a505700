import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exportPlan } from '../../../../enforce/export/export.ts';
import type { HostFinding } from '../../../../enforce/findings.ts';
import { type Plan, plan as planSchema } from '../../../../enforce/plan.ts';
import { allowedChanges, isChosen, noHostText } from '../../../../enforce/planning/choice.ts';
import { makePlan, type PlanParts } from '../../../../enforce/planning/make_plan.ts';
import { readyHost } from '../../../support/enforce/fake_findings.ts';
import { instanceId, PLACE, POLICY } from '../../../support/enforce/plans.ts';

const NO_VERDICTS = new Map();

function host(number: number, group: string | null, given: Partial<HostFinding> = {}): HostFinding {
  const tags: Record<string, string> = group === null ? {} : { 'aws:autoscaling:groupName': group };
  return readyHost(instanceId(number), { name: `host-${number}`, tags, ...given });
}

function planned(hosts: HostFinding[], given: Partial<PlanParts> = {}): Plan {
  const { changed, leftOut } = allowedChanges(hosts, hosts, NO_VERDICTS, POLICY);
  const plan = makePlan({
    id: 'p-0123456789ab',
    created: '2026-03-04T12:00:00.000Z',
    createdBy: 'command:tester',
    policy: POLICY,
    hosts: changed,
    leftOut,
    sizes: new Map(),
    members: new Map(),
    verdicts: new Map(),
    templates: [],
    accountDefaults: [],
    ...given,
  });
  // A saved plan must be readable again.
  assert.deepEqual(planSchema.parse(JSON.parse(JSON.stringify(plan))), plan);
  return plan;
}

const outline = (plan: Plan) =>
  plan.steps.map(({ wave, role, group, target }) => `${wave} ${role} ${group} ${target.type}`);

describe('which hosts are changed', () => {
  it('by their verdict, and never a host without a known place', () => {
    const hosts = [
      host(1, null),
      host(2, null, { verdict: 'blocked', reason: 'cron calls.' }),
      host(3, null, { verdict: 'fallback', advisedHopLimit: 2 }),
      host(4, null, { verdict: 'fallback' }),
      host(5, null, { verdict: 'enforced' }),
      host(6, null, { verdict: 'unproven', reason: 'Not watched.' }),
      host(7, null, { region: null }),
      readyHost('vm-17'),
    ];
    const { changed, leftOut } = allowedChanges(hosts, hosts, NO_VERDICTS, POLICY);
    assert.deepEqual(
      changed.map(({ finding, change }) => [finding.name, change]),
      [
        ['host-1', { http_tokens: 'required' }],
        ['host-3', { hop_limit: 2 }],
      ],
    );
    assert.equal(leftOut.length, 6);
    assert.match(
      leftOut.find(({ host: name }) => name === 'host-17')!.reason,
      /no EC2 instance: its id is vm-17/,
    );
    assert.match(leftOut.find(({ host: name }) => name === 'host-2')!.reason, /It is blocked\. cron calls\./);
  });

  it('not a host whose facts are not known yet, and says which and what to do', () => {
    const reasonOf = (given: Partial<HostFinding>) => {
      const hosts = [host(1, null, given)];
      return allowedChanges(hosts, hosts, NO_VERDICTS, POLICY).leftOut[0]!.reason;
    };
    const unknown = reasonOf({ account: null, region: null, verdict: 'unproven' });
    assert.match(unknown, /^Its account and region are not known yet\. .* Make the plan again then\./);
    assert.match(unknown, /set host_account and host_region in the agent's configuration\.$/);
    assert.match(
      reasonOf({ region: null }),
      /^Its region is not known yet\. .* set host_region in the agent's/,
    );
    assert.match(
      reasonOf({ account: 'project-7' }),
      /account project-7 .* is none of AWS\. Correct host_account/,
    );
  });

  it('not where a member of the Auto Scaling group is blocked, also one that was not chosen', () => {
    const all = [
      host(1, 'web'),
      host(2, 'web', { verdict: 'blocked', reason: 'cron calls.' }),
      host(3, 'db'),
    ];
    const { changed, leftOut } = allowedChanges([all[0]!, all[2]!], all, NO_VERDICTS, POLICY);
    assert.deepEqual(
      changed.map(({ finding }) => finding.name),
      ['host-3'],
    );
    assert.match(leftOut[0]!.reason, /host-2 of its group asg:web is blocked/);
    const named = allowedChanges([all[0]!], all, NO_VERDICTS, POLICY);
    assert.equal(named.changed.length, 1);
  });

  it('not where a member that is gone has made its group blocked', () => {
    const members = [host(1, 'web'), host(2, 'web')];
    const blocked = { id: 'asg:web', verdict: 'blocked' as const, reason: 'i-0 called.', startSeen: true };
    const { changed, leftOut } = allowedChanges(members, members, new Map([['asg:web', blocked]]), POLICY);
    assert.deepEqual(changed, []);
    assert.match(leftOut[0]!.reason, /Its group asg:web is blocked\. i-0 called\./);
  });

  it('one host with a reason, but never two', () => {
    const unproven = [host(1, null, { verdict: 'unproven' }), host(2, null, { verdict: 'unproven' })];
    const policy = { unproven_host_reason: 'It is a sandbox.' };
    assert.equal(allowedChanges([unproven[0]!], unproven, NO_VERDICTS, policy).changed.length, 1);
    assert.equal(allowedChanges(unproven, unproven, NO_VERDICTS, policy).changed.length, 0);
  });

  it('those that were asked for', () => {
    const choice = { hosts: null, groups: null, accounts: null, regions: null };
    const member = host(1, 'web');
    assert.ok(isChosen(member, { ...choice, groups: ['asg:web'] }));
    assert.ok(isChosen(member, { ...choice, groups: ['image:ami-1'], regions: [PLACE.region] }));
    assert.ok(!isChosen(member, { ...choice, groups: ['asg:db'] }));
    assert.ok(!isChosen(member, { ...choice, accounts: ['999999999999'] }));
    assert.ok(isChosen(member, { ...choice, hosts: ['host-1'] }));
  });

  it('with a word about those whose account is not known yet, where none is chosen', () => {
    const hosts = [host(1, 'web', { account: null }), host(2, 'web')];
    const choice = { hosts: null, groups: null, accounts: ['999999999999'], regions: null };
    assert.match(noHostText(hosts, choice), /of 1 host is not known yet, for example of host-1: .* --host/);
    assert.doesNotMatch(noHostText(hosts, { ...choice, accounts: null, hosts: ['host-9'] }), /known yet/);
  });
});

describe('the order of a plan', () => {
  it('is hop limits, one canary per group, waves of the share, templates, what is live, the account', () => {
    const web = Array.from({ length: 8 }, (_, index) => host(index + 1, 'web'));
    const plan = planned(
      [...web, host(9, 'db'), host(10, null, { verdict: 'fallback', advisedHopLimit: 2 })],
      {
        sizes: new Map([['asg:web', 12]]),
        templates: [
          {
            place: PLACE,
            templateId: 'lt-1',
            sourceVersion: 3,
            groups: ['web', 'other'],
            references: [{ scalingGroup: 'web', reference: '$Default' }],
          },
        ],
        accountDefaults: [PLACE],
      },
    );
    assert.deepEqual(outline(plan), [
      `0 hop_limit none:${PLACE.account}/${PLACE.region} instance`,
      '1 canary asg:web instance',
      '1 canary asg:db instance',
      ...Array.from({ length: 3 }, () => '2 wave asg:web instance'),
      ...Array.from({ length: 3 }, () => '3 wave asg:web instance'),
      '4 wave asg:web instance',
      '5 template asg:web template',
      '6 go_live asg:web template_default',
      `7 account place:${PLACE.account}/${PLACE.region} account_default`,
    ]);
    const template = plan.steps.find(({ role }) => role === 'template')!;
    assert.deepEqual(template.target.type === 'template' && template.target.groups, ['asg:web', 'asg:other']);
  });

  it('makes a version the change itself where a group follows the latest, and moves the number of another', () => {
    const templates = (reference: '$Latest' | number) => [
      {
        place: PLACE,
        templateId: 'lt-1',
        sourceVersion: 3,
        groups: ['web'],
        references: [{ scalingGroup: 'web', reference }],
      },
    ];
    const latest = planned([host(1, 'web')], { templates: templates('$Latest') });
    assert.deepEqual(outline(latest).slice(1), ['2 template asg:web template']);
    assert.equal(latest.steps[1]!.target.type === 'template' && latest.steps[1]!.target.goes_live, true);
    const numbered = planned([host(1, 'web')], { templates: templates(3) });
    assert.deepEqual(outline(numbered).slice(1), [
      '2 template asg:web template',
      '3 go_live asg:web group_version',
    ]);
  });
});

describe('a plan for another tool', () => {
  const plan = planned([host(1, "we'b"), host(2, null, { verdict: 'fallback', advisedHopLimit: 3 })], {
    templates: [
      {
        place: PLACE,
        templateId: 'lt-1',
        sourceVersion: 3,
        groups: ["we'b"],
        references: [{ scalingGroup: "we'b", reference: 3 }],
      },
    ],
    accountDefaults: [PLACE],
  });

  it('is a script of the AWS CLI in the order of the waves, with the way back', () => {
    const lines = exportPlan(plan, 'aws-cli').split('\n');
    const commands = lines.filter((line) => line.includes('aws ') && !line.startsWith('#'));
    assert.deepEqual(
      commands.map((line) => line.match(/aws (\S+ \S+)/)![1]),
      [
        'ec2 modify-instance-metadata-options',
        'ec2 modify-instance-metadata-options',
        'ec2 create-launch-template-version',
        'autoscaling update-auto-scaling-group',
        'ec2 modify-instance-metadata-defaults',
      ],
    );
    assert.ok(
      lines.some(
        (line) => line.startsWith('# back: aws ec2 modify') && line.endsWith('--http-tokens optional'),
      ),
    );
    assert.ok(
      lines.some((line) => line.includes(`'we'\\''b'`)),
      'a name is quoted for the shell',
    );
    assert.ok(!exportPlan(plan, 'aws-cli').includes('--http-endpoint'));
  });

  it('is Terraform, CloudFormation and a runbook, each with its warnings', () => {
    assert.match(
      exportPlan(plan, 'terraform'),
      /Removing a block later does not undo it\.[\s\S]*http_tokens\s+= "required"/,
    );
    assert.match(exportPlan(plan, 'cloudformation'), /HttpPutResponseHopLimit: 3[\s\S]*HttpTokens: required/);
    const runbook = JSON.parse(exportPlan(plan, 'ssm'));
    assert.deepEqual(
      runbook.mainSteps.map(({ action }: { action: string }) => action),
      ['aws:executeAwsApi', 'aws:pause', 'aws:executeAwsApi', 'aws:pause', 'aws:executeAwsApi'],
    );
    assert.match(runbook.description, /Steps that this runbook leaves out: s3, s4\./);
  });
});
