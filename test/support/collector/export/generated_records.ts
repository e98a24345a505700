/** Generates findings, audit entries and alerts of every kind for property tests of shapes. All are valid by the contract. */
import * as fc from 'fast-check';
import type { AuditEntry } from '../../../../collector/contract/administration.ts';
import { adviceKind } from '../../../../collector/contract/advice.ts';
import { type Alert, alert, alertRule } from '../../../../collector/contract/alert.ts';
import { type Finding, finding } from '../../../../collector/contract/finding.ts';
import { verdict } from '../../../../collector/contract/host.ts';
import { severity } from '../../../../collector/contract/offender.ts';
import { triageState } from '../../../../collector/contract/triage.ts';
import type { ExportItem } from '../../../../collector/export/item.ts';
import { anyText, generatedCall, id16, time, withoutUndefined } from './generated_calls.ts';

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 3 });
const account = fc.constantFrom('123456789012', '210987654321', 'mine');
const region = fc.constantFrom('eu-central-1', 'us-east-1', 'cn-north-1');
const count = fc.nat(1_000_000);
const texts = fc.array(anyText, { maxLength: 3 });
const longText = fc.oneof(anyText, fc.constantFrom('long '.repeat(900), '😀'.repeat(700)));

const findingHost = fc.record({
  id: fc.oneof(
    fc.nat(0xffff_ffff).map((number) => `i-${number.toString(16).padStart(17, '0')}`),
    fc.constantFrom('rack-7', 'i-1234abcd'),
  ),
  name: anyText,
  account: maybe(account),
  region: maybe(region),
  zone: maybe(fc.constant('eu-central-1a')),
  type: maybe(fc.constant('m5.large')),
  image_id: maybe(fc.constant('ami-0123456789abcdef0')),
  tags: fc.dictionary(fc.constantFrom('Name', 'team.x', 'a b', 'aws:x'), anyText),
  http_tokens: fc.constantFrom('optional', 'required', null),
  hop_limit: maybe(fc.integer({ min: 1, max: 64 })),
});

const offender = fc
  .record({
    id: id16,
    severity: fc.constantFrom(...severity.options),
    title: anyText,
    executable: maybe(fc.constant('/usr/bin/curl')),
    name: maybe(anyText),
    script: maybe(anyText),
    user: maybe(anyText),
    uid: maybe(fc.nat(70_000)),
    container_image: maybe(fc.constant('registry.example/app')),
    systemd_unit: maybe(anyText),
    k8s_namespace: maybe(anyText),
    k8s_container: maybe(anyText),
    source_address: maybe(fc.ipV4()),
    calls_v1: count,
    calls_v2: count,
    credentials_over_v1: count,
    roles_v1: texts,
    user_agents: texts,
    host_count: count,
    accounts: fc.uniqueArray(account),
    regions: fc.uniqueArray(region),
    first_seen: time,
    last_seen: time,
    first_v1: maybe(time),
    last_v1: maybe(time),
    advice_kind: fc.constantFrom(...adviceKind.options),
    advice_headline: longText,
  })
  .chain((facts) =>
    fc.record({ state: fc.constantFrom(...triageState.options), owner: maybe(anyText) }).map((decided) => ({
      ...facts,
      ...{ attributed: true, helpers: [], started_by: null, entry: null, releases: [], blocked_attempts: 0 },
      ...{ last_credentials_over_v1: null, credentials_over_v1_attempts: 0, rejected_v1: 0, adapted_v1: 0 },
      ...{ refused_tokens: 0, other_cloud_calls: 0, answered_by_host_v1: 0, acts_for_others: false },
      ...{ fallbacks: { token_unanswered: 0, token_refused: 0 }, categories_v1: {}, clients: [] },
      ...{ hosts_freed: 0, hosts: [], trend_v1: [] },
      triage: {
        ...{ ...decided, ended: null, set: null, set_by: null, until: null, reason: null },
        ...{ owner_by: null, ticket: null, notes: null },
      },
    })),
  );

const process = generatedCall.map(({ host: { id, name }, time: last_seen, ...call }) => ({
  host: { id, name },
  last_seen,
  ...call,
}));

const common = {
  id: fc.uuid({ version: 4 }),
  change: fc.constantFrom('new', 'updated', 'resolved'),
  time,
  first_seen: time,
  last_seen: time,
  severity: fc.constantFrom('critical', 'warning', 'info'),
  title: longText,
  text: longText,
  link: maybe(fc.constant('https://imdswatch.example/offenders/1')),
};
const subjects = fc.oneof(
  fc.record({
    type: fc.constant('offender'),
    offender,
    hosts: fc.oneof(
      fc.array(findingHost, { maxLength: 4 }),
      fc.array(findingHost, { minLength: 70, maxLength: 80 }),
    ),
    process: maybe(process),
  }),
  fc.record({
    type: fc.constant('verdict'),
    host: findingHost,
    verdict: fc.constantFrom(...verdict.options),
    reason: longText,
    coverage_percent: fc.constantFrom(0, 99.5, 100),
  }),
  fc.record({
    type: fc.constant('sensor'),
    rule: fc.constantFrom('host_silent', 'coverage_lost'),
    host: findingHost,
  }),
);

export const generatedFinding: fc.Arbitrary<Finding> = fc
  .tuple(fc.record(common), subjects)
  .map(([facts, subject]) => {
    const key =
      'offender' in subject ? `offender/${subject.offender.id}` : `${subject.type}/${subject.host.id}`;
    return finding.parse(withoutUndefined({ ...facts, key, ...subject }));
  });

/** Every action that the collector records, and one of a later release. */
export const AUDIT_ACTIONS = [
  ...['session.open', 'session.close', 'session.close_all', 'sign_in_code.create', 'sign_in.refused'],
  ...['token.create', 'token.revoke', 'credential.issue', 'credential.renew', 'certificate.release'],
  ...[
    'alert_destination.add',
    'alert_destination.change',
    'alert_destination.remove',
    'alert_destination.test',
  ],
  ...[
    'retention.set',
    'triage.set',
    'cloud_counts.supply',
    'cloud_instances.supply',
    'cloud_inventory.supply',
  ],
  ...[
    'enforce.plan',
    'enforce.apply',
    'plan.report',
    'plan.forget',
    'plan.forget_hosts',
    'later.release_has_it',
  ],
];

export const generatedAudit: fc.Arbitrary<AuditEntry> = fc.record({
  id: fc.nat(),
  time,
  actor: fc.oneof(fc.constantFrom('ana', 'command:root'), anyText),
  action: fc.constantFrom(...AUDIT_ACTIONS),
  subject: anyText,
  detail: maybe(anyText),
  source_address: maybe(fc.oneof(fc.ipV4(), fc.constant('2001:db8::1'), fc.constant('unknown'))),
});

export const generatedAlert: fc.Arbitrary<Alert> = fc
  .record({
    ...common,
    rule: fc.constantFrom(...alertRule.options),
    state: fc.constantFrom('firing', 'resolved'),
    ends: fc.boolean(),
    started: maybe(time),
    ended: maybe(time),
    object: maybe(
      fc.record({
        type: fc.constantFrom('offender', 'host', 'group', 'plan'),
        id: fc.constantFrom('i-0123456789abcdef0', 'rack-7'),
        name: anyText,
        account: maybe(account),
        region: maybe(region),
        accounts: fc.uniqueArray(account),
        regions: fc.uniqueArray(region),
        tags: fc.dictionary(fc.constantFrom('Name', 'team'), anyText),
        owner: maybe(anyText),
      }),
    ),
    hosts: fc.array(fc.record({ id: fc.constantFrom('i-0123456789abcdef0', 'rack-7'), name: anyText }), {
      maxLength: 3,
    }),
  })
  .map((facts) => {
    const subject = facts.object?.id ?? 'summary';
    return alert.parse({ ...facts, subject, dedup_key: `${facts.rule}/${subject}` });
  });

export const generatedItem: fc.Arbitrary<ExportItem> = fc.oneof(
  fc
    .tuple(generatedCall, fc.option(time, { nil: null }))
    .map(([call, stored]): ExportItem => ({ stream: 'calls', call, stored })),
  generatedFinding.map((each): ExportItem => ({ stream: 'findings', finding: each })),
  generatedAudit.map((entry): ExportItem => ({ stream: 'audit', entry })),
  generatedAlert.map((each): ExportItem => ({ stream: 'alerts', alert: each })),
);
