/** Events of OCSF: any record makes one that is valid by the schema, and the known cases have the numbers that they must have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Finding } from '../../../../collector/contract/finding.ts';
import type { ExportItem } from '../../../../collector/export/item.ts';
import { ocsf } from '../../../../collector/export/ocsf.ts';
import type { Call } from '../../../../protocol/call.ts';
import { makeCall } from '../../../support/collector/calls.ts';
import {
  AUDIT_ACTIONS,
  generatedAlert,
  generatedFinding,
  generatedItem,
} from '../../../support/collector/export/generated_records.ts';
import { ocsfErrors } from '../../../support/collector/export/ocsf_schema.ts';

// biome-ignore lint/suspicious/noExplicitAny: the tests read fields of many kinds of events.
type Event = any;
const OFFENDER = '0123456789abcdef';

const eventOf = (item: ExportItem): Event => {
  const values = ocsf.toValues(item);
  assert.equal(values.length, 1);
  const event = JSON.parse(JSON.stringify(values[0])) as Event;
  assert.deepEqual(ocsfErrors(event), [], JSON.stringify(event));
  return event;
};
const callEvent = (changes: Partial<Call> = {}, stored: string | null = null) =>
  eventOf({ stream: 'calls', call: { ...makeCall(changes), offender: OFFENDER }, stored });
const auditEvent = (action: string, detail: string | null = null) =>
  eventOf({
    stream: 'audit',
    entry: {
      ...{ id: 7, time: '2026-03-02T00:00:00.000Z', actor: 'ana', action, subject: 'x', detail },
      source_address: '10.0.0.9',
    },
  });

test('every record of every stream makes an event that is valid by the schema of OCSF 1.5.0', () => {
  const property = fc.property(generatedItem, (item) => {
    eventOf(item);
  });
  fc.assert(property, { numRuns: 80 });
});

test('the check of the schema sees what is wrong', () => {
  const event = callEvent();
  assert.match(ocsfErrors({ ...event, no_field: 1 }).join(), /additional properties/);
  assert.match(ocsfErrors({ ...event, class_uid: 4001 }).join(), /type_uid/);
  assert.match(ocsfErrors({ ...event, severity_id: 9 }).join(), /severity_id/);
  assert.match(ocsfErrors({ ...event, src_endpoint: { port: 1 } }).join(), /src_endpoint/);
  assert.match(
    ocsfErrors({ ...event, metadata: { ...event.metadata, profiles: [] } }).join(),
    /profile host/,
  );
  const { time: _, ...without } = event;
  assert.match(ocsfErrors(without).join(), /time/);
});

test('a call has the numbers of its method and of its rating', () => {
  const credentials = { 'imds.category': 'credentials', 'imds.role': 'app' } as const;
  const cases: [Partial<Call>, { type_uid: number; severity_id: number; is_alert?: true }][] = [
    [{}, { type_uid: 400203, severity_id: 3 }],
    [{ 'imds.version': 2 }, { type_uid: 400203, severity_id: 1 }],
    [
      { 'imds.version': 2, 'http.request.method': 'PUT', 'imds.kind': 'token' },
      { type_uid: 400207, severity_id: 1 },
    ],
    [credentials, { type_uid: 400203, severity_id: 4, is_alert: true }],
    [
      { ...credentials, 'http.response.status_code': 404 },
      { type_uid: 400203, severity_id: 3 },
    ],
    [{ 'http.response.status_code': 401 }, { type_uid: 400203, severity_id: 2 }],
    [{ 'imds.fallback': 'token_unanswered' }, { type_uid: 400203, severity_id: 2 }],
    [{ 'imds.category': 'other-cloud' }, { type_uid: 400203, severity_id: 1 }],
    [{ 'http.request.method': 'get' }, { type_uid: 400299, severity_id: 3 }],
    [
      { 'http.request.method': null, outcome: 'truncated' },
      { type_uid: 400200, severity_id: 3 },
    ],
    [
      { outcome: 'blocked', 'imds.version': null, 'http.request.method': null, 'url.path': null },
      { type_uid: 400104, severity_id: 1 },
    ],
  ];
  for (const [changes, { type_uid, severity_id, is_alert }] of cases) {
    const event = callEvent(changes);
    const found = [event.type_uid, event.severity_id, event.is_alert];
    assert.deepEqual(found, [type_uid, severity_id, is_alert], JSON.stringify(changes));
  }
});

test('a call says who called what, from where', () => {
  const event = callEvent(
    {
      time: '2026-11-22T08:00:00.120934Z',
      'imds.category': 'credentials',
      'imds.role': 'app',
      'url.path': '/latest/meta-data/iam/security-credentials/app',
      'destination.address': 'fd00:ec2::254',
      host: {
        id: 'i-0123456789abcdef0',
        name: 'web-1',
        'cloud.account.id': '123456789012',
        'cloud.region': 'eu-west-1',
      },
      k8s: {
        'pod.uid': '0f8fad5b-d9cb-469f-a165-70867728950e',
        'pod.name': 'p',
        'namespace.name': 'n',
        'container.name': 'c',
      },
    },
    '2026-11-22T08:00:01.000000Z',
  );
  assert.equal(event.time, 1795334400120);
  assert.equal(event.metadata.original_time, '2026-11-22T08:00:00.120934Z');
  assert.equal(event.metadata.logged_time, 1795334401000);
  assert.equal(event.metadata.version, '1.5.0');
  assert.equal(event.metadata.event_code, 'imdsv1.credentials');
  assert.equal(event.metadata.correlation_uid, OFFENDER);
  assert.deepEqual(event.metadata.profiles, ['cloud', 'container', 'host', 'security_control']);
  assert.equal(event.api.operation, 'GET /latest/meta-data/iam/security-credentials/{role}');
  assert.equal(event.api.version, 'IMDSv1');
  assert.equal(
    event.http_request.url.url_string,
    'http://[fd00:ec2::254]/latest/meta-data/iam/security-credentials/app',
  );
  assert.deepEqual(event.cloud, {
    provider: 'AWS',
    account: { uid: '123456789012', type_id: 10, type: 'AWS Account' },
    region: 'eu-west-1',
  });
  assert.equal(event.device.instance_uid, 'i-0123456789abcdef0');
  assert.deepEqual(event.actor.user, { uid: '1000', name: 'app' });
  const { process } = event.actor;
  assert.deepEqual(process.file, { path: '/usr/bin/curl', name: 'curl', type_id: 1 });
  assert.equal(process.parent_process.pid, 4300);
  assert.deepEqual(
    process.ancestry.map(({ pid }: { pid: number }) => pid),
    [4300, 900, 1],
  );
  assert.equal(process.container.pod_uuid, '0f8fad5b-d9cb-469f-a165-70867728950e');
  assert.equal(process.container.orchestrator, 'Kubernetes');
  assert.ok(process.container.labels.includes('k8s.namespace.name: n'));
  assert.equal(event.connection_info.protocol_ver_id, 6);
  assert.equal(event.confidence_id, 3);
  const types = event.observables.map(({ type_id }: { type_id: number }) => type_id);
  assert.deepEqual(types, [2, 1, 10, 9, 15, 13, 45, 4, 6, 16]);
});

test('findings have the class and the state of their kind', () => {
  const states = new Set<string>();
  fc.assert(
    fc.property(generatedFinding, (finding: Finding) => {
      const event = eventOf({ stream: 'findings', finding });
      states.add(`${finding.type} ${finding.change}`);
      const activity = { new: 1, updated: 2, resolved: 3 }[finding.change];
      assert.equal(event.type_uid, (finding.type === 'verdict' ? 200300 : 200400) + activity);
      assert.equal(event.severity_id, { critical: 5, warning: 3, info: 1 }[finding.severity]);
      assert.equal(event.finding_info.uid, `imdswatch/${finding.key}`);
      if (finding.change === 'resolved') assert.equal(event.status_id, 4);
      if (finding.type === 'verdict') {
        const passes = { ready: 1, enforced: 1, fallback: 2, blocked: 3, rejected: 3, unproven: 0 };
        assert.equal(event.compliance.status_id, passes[finding.verdict]);
        assert.equal(event.compliance.control, 'EC2.8');
      }
      if (finding.type === 'sensor') assert.deepEqual(event.finding_info.types, ['Sensor health']);
      if (finding.type === 'offender') {
        assert.equal(event.remediation.desc, finding.offender.advice_headline.toWellFormed());
        const attacks = finding.offender.severity === 'credentials' ? 'T1552.005' : undefined;
        assert.equal(event.attacks?.[0].sub_technique.uid, attacks);
        assert.equal(event.is_alert, finding.change === 'new' ? true : undefined);
      }
    }),
    { numRuns: 50 },
  );
  assert.ok(states.size >= 8, `only ${[...states].join()} were generated`);
});

test('an alert that is over closes the finding that it has opened', () => {
  fc.assert(
    fc.property(generatedAlert, (alert) => {
      const firing = eventOf({ stream: 'alerts', alert: { ...alert, state: 'firing' } });
      const over = eventOf({ stream: 'alerts', alert: { ...alert, state: 'resolved' } });
      assert.equal(over.finding_info.uid, firing.finding_info.uid);
      assert.equal(over.class_uid, firing.class_uid);
      assert.deepEqual([firing.activity_id, over.activity_id, over.status_id], [1, 3, 4]);
    }),
    { numRuns: 40 },
  );
});

test('an audit entry is a sign-in, or a change of a thing', () => {
  const expected: Record<string, number> = {
    ...{ 'session.open': 300201, 'session.close': 300202, 'session.close_all': 300202 },
    ...{ 'token.create': 300401, 'token.revoke': 300404, 'retention.set': 300403 },
    ...{
      'alert_destination.add': 300401,
      'alert_destination.change': 300403,
      'alert_destination.remove': 300404,
    },
    ...{ 'alert_destination.test': 300499, 'later.release_has_it': 300499 },
  };
  for (const action of AUDIT_ACTIONS) {
    const event = auditEvent(action);
    if (action in expected) assert.equal(event.type_uid, expected[action], action);
    assert.equal(event.src_endpoint.ip, '10.0.0.9');
  }
  assert.equal(auditEvent('session.open', 'role admin, by OpenID Connect').auth_protocol_id, 4);
  assert.equal(auditEvent('session.open', 'role admin').auth_protocol_id, 0);
  assert.equal(auditEvent('token.create').entity.type, 'token');
});
