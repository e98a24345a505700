/** The table of names is what the shapes do: each field is changed for itself, and the paths that change are those of its row. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Finding } from '../../../../collector/contract/finding.ts';
import { type ServedCall, servedCall } from '../../../../collector/contract/served_call.ts';
import type { ExportItem } from '../../../../collector/export/item.ts';
import { CALL_MAPPING, FINDING_MAPPING, type FieldMapping } from '../../../../collector/export/mapping.ts';
import type { OtlpValue } from '../../../../collector/export/otlp_value.ts';
import { shapeOf } from '../../../../collector/export/shapes.ts';
import {
  callerFacts,
  containerFacts,
  hostFacts,
  k8sFacts,
  processFacts,
  systemdFacts,
} from '../../../../protocol/call.ts';
import { fullCall, fullFinding } from '../../../support/collector/export/full_items.ts';

type Name = 'otlp' | 'ocsf' | 'ecs' | 'asff';
type Tree = Record<string, unknown>;

/** Texts and captions that follow from several fields. They are in no row. */
const DERIVED: Record<Name, RegExp> = {
  otlp: /^(body|severityNumber|severityText)$/,
  ocsf: /^(message|observables|severity|severity_id|is_alert|type_uid|type_name|activity_name|status|status_id|confidence|connection_info\.protocol_ver|compliance|http_request\.url\.url_string|action.*|disposition.*|cloud\.account)(\.|$)/,
  ecs: /^(message|related|url\.full|process\.args_count)(\.|$)/,
  asff: /^(Description)$/,
};

/** A value other than that of the full call, for each of its fields. */
const OTHER_VALUES: Record<string, unknown> = {
  id: '01900000-0000-7000-8000-0000000000ff',
  time: '2026-11-23T09:00:00.000000Z',
  'imds.version': 2,
  'imds.kind': 'other',
  'imds.category': 'user-data',
  'imds.endpoint': 'ipv6',
  'imds.server_version': 2,
  'imds.fallback': 'adapted',
  'http.request.method': 'FETCH',
  'http.response.status_code': 500,
  outcome: 'reset',
  'source.address': '10.9.9.9',
  'destination.address': 'fd00:ec2::254',
  answered_by: 'host',
  'answered_by.evidence': 'loopback',
  'answered_by.confidence': 'probable',
  'caller.role': null,
  'caller.connection': 'shared',
  'process.start_time': '2026-11-21T09:00:00.000000Z',
  'process.command_args': ['other'],
  'process.ancestors': [{ pid: 77, name: 'x', 'executable.path': '/x', command_args: ['x'], script: '/y' }],
  'container.id': 'cd'.repeat(32),
  'k8s.pod.uid': '11111111-2222-3333-4444-555555555555',
  'attribution.method': 'proc',
  'attribution.confidence': 'none',
  'host.id': 'i-0fffffffffffffff0',
  'host.tags': { team: 'other' },
  offender: 'f'.repeat(16),
};

test('the table has a row for every field of a call', () => {
  const nested = {
    process: processFacts,
    container: containerFacts,
    k8s: k8sFacts,
    systemd: systemdFacts,
    host: hostFacts,
  };
  const names = Object.keys(servedCall.shape).flatMap((key) =>
    key in nested
      ? Object.keys(nested[key as keyof typeof nested].shape).map((inner) => `${key}.${inner}`)
      : [key],
  );
  assert.deepEqual(CALL_MAPPING.map(({ ours }) => ours).sort(), names.sort());
  assert.ok(Object.keys(callerFacts.shape).length > 0);
});

test('each field of a call goes where its row says, and nowhere else', () => {
  for (const mapping of CALL_MAPPING) {
    const changed = withChange(fullCall(), mapping.ours, otherValue(fullCall(), mapping.ours));
    for (const name of ['otlp', 'ocsf', 'ecs'] as const) {
      compare(mapping, name, { stream: 'calls', call: fullCall() }, { stream: 'calls', call: changed });
    }
  }
});

const OTHER_FINDINGS: Record<string, unknown> = {
  id: '22222222-2222-4222-8222-222222222222',
  key: 'offender/other',
  change: 'resolved',
  time: '2026-11-25T00:00:00.000000Z',
  first_seen: '2026-10-01T00:00:00.000000Z',
  last_seen: '2026-11-24T00:00:00.000000Z',
  severity: 'info',
  link: 'https://imdswatch.example/other',
  'offender.severity': 'v1',
  'offender.id': 'f'.repeat(16),
  'offender.roles_v1': ['other'],
  hosts: [{ ...fullFinding().hosts[0]!, id: 'i-0fffffffffffffff0', name: 'other' }],
  process: null,
};

test('each field of a finding goes where its row says, and nowhere else', () => {
  for (const mapping of FINDING_MAPPING) {
    const value = OTHER_FINDINGS[mapping.ours] ?? (mapping.ours in OTHER_FINDINGS ? null : 'another text');
    const changed = structuredClone(fullFinding()) as unknown as Tree;
    const [key, inner] = mapping.ours.split('.') as [string, string?];
    if (inner === undefined) changed[key] = value;
    else (changed[key] as Tree)[inner] = value;
    const item = (finding: unknown): ExportItem => ({ stream: 'findings', finding: finding as Finding });
    for (const name of ['otlp', 'ocsf', 'ecs', 'asff'] as const) {
      compare(mapping, name, item(fullFinding()), item(changed));
    }
  }
});

function compare(
  mapping: FieldMapping & { asff?: readonly string[] },
  name: Name,
  before: ExportItem,
  after: ExportItem,
): void {
  const paths = differing(leaves(name, before), leaves(name, after));
  const expected = mapping[name]!.map((path) => path.replace(/\.KEY$/, ''));
  const covers = (path: string, each: string) => each === path || each.startsWith(`${path}.`);
  for (const path of expected) {
    assert.ok(
      paths.some((each) => covers(path, each)),
      `${mapping.ours} does not reach ${name} ${path}, only ${paths}`,
    );
  }
  const others = paths.filter(
    (each) => !expected.some((path) => covers(path, each)) && !DERIVED[name].test(each),
  );
  assert.deepEqual(others, [], `${mapping.ours} also reaches these paths of ${name}`);
}

function leaves(name: Name, item: ExportItem): Map<string, string> {
  const [value] = shapeOf(name).toValues(item);
  assert.ok(value !== undefined);
  const found = new Map<string, string>();
  const visit = (at: unknown, path: string): void => {
    if (typeof at === 'object' && at !== null && !Array.isArray(at) && Object.keys(at).length > 0) {
      for (const [key, each] of Object.entries(at)) visit(each, path === '' ? key : `${path}.${key}`);
    } else found.set(path, JSON.stringify(at));
  };
  visit(name === 'otlp' ? recordOf(value as OtlpValue) : value, '');
  return found;
}

/** The names of the encoded record. */
function recordOf({ resource, attributes, ...value }: OtlpValue): Tree {
  return {
    resource,
    ...attributes,
    timeUnixNano: value.time_us,
    observedTimeUnixNano: value.observed_us,
    severityNumber: value.severity_number,
    severityText: value.severity_text,
    body: value.body,
  };
}

function differing(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter(
    (path) => before.get(path) !== after.get(path),
  );
}

function otherValue(call: ServedCall, ours: string): unknown {
  if (ours in OTHER_VALUES) return OTHER_VALUES[ours];
  const value = valueAt(call, ours);
  if (typeof value === 'number') return value + 1;
  if (typeof value === 'string') return `${value}/other`;
  return null;
}

function splitKey(ours: string): [parent: string | null, key: string] {
  const match = /^(process|container|k8s|systemd|host)\.(.+)$/.exec(ours);
  return match === null ? [null, ours] : [match[1]!, match[2]!];
}

function valueAt(call: ServedCall, ours: string): unknown {
  const [parent, key] = splitKey(ours);
  const tree = call as unknown as Tree;
  return (parent === null ? tree : (tree[parent] as Tree))[key];
}

function withChange(call: ServedCall, ours: string, value: unknown): ServedCall {
  const changed = structuredClone(call) as unknown as Tree;
  const [parent, key] = splitKey(ours);
  (parent === null ? changed : (changed[parent] as Tree))[key] = value;
  return changed as unknown as ServedCall;
}
