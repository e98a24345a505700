/** Generates calls of every kind for property tests of shapes. All are valid by the contract. */
import * as fc from 'fast-check';
import { type ServedCall, servedCall } from '../../../../collector/contract/served_call.ts';
import {
  answererEvidence,
  attributionConfidence,
  attributionMethod,
  connectionUse,
  imdsCategory,
  imdsKind,
  outcome,
  relayKind,
} from '../../../../protocol/call.ts';

/** Any text: also empty, with control characters, quotes, half pairs, and characters of four bytes. */
export const anyText = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('', '"', '\\', '\u0000', '\ud800', '😀', '{{ 7 }}', '\n', 'a'.repeat(600)),
);
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 3 });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 });
const pid = fc.integer({ min: 1, max: 4_194_304 });
const port = fc.integer({ min: 0, max: 65_535 });
const uid = fc.constantFrom(0, 1000, 4_294_967_294);
const path = fc.oneof(fc.constantFrom('/usr/bin/curl', '/', '/opt/app/x.py', 'relative'), anyText);
export const uuid = fc
  .tuple(fc.nat(0xffff_ffff), fc.nat(0xffff_ffff))
  .map(([a, b]) => `${hex(a)}-0000-7000-8000-0000${hex(b)}`);
export const id16 = fc.nat(0xffff_ffff).map((number) => hex(number).repeat(2));
/** Instants of 1990 to 2190, with microseconds. */
export const time = fc
  .tuple(fc.integer({ min: 631_152_000, max: 6_942_000_000 }), fc.nat(999_999))
  .map(([seconds, us]) => {
    const second = new Date(seconds * 1000).toISOString().slice(0, 19);
    return `${second}.${String(us).padStart(6, '0')}Z`;
  });
const ipv4 = fc.ipV4();
const ipv6 = fc.constantFrom('fd00:ec2::254', '2001:db8::1', '::ffff:10.0.0.1', 'fe80::1');

const ancestor = fc.record({
  pid,
  name: anyText,
  'executable.path': maybe(path),
  command_args: maybe(fc.array(anyText, { maxLength: 3 })),
  script: optional(maybe(path)),
});
const processFacts = fc.record({
  pid,
  start_time: time,
  name: anyText,
  'executable.path': maybe(path),
  command_args: maybe(fc.array(anyText, { maxLength: 4 })),
  working_directory: maybe(path),
  'owner.uid': uid,
  'owner.name': maybe(anyText),
  script: maybe(path),
  title: optional(anyText),
  ancestors: fc.array(ancestor, { maxLength: 4 }),
});
const program = {
  pid,
  name: anyText,
  'executable.path': maybe(path),
  script: maybe(path),
  'owner.uid': uid,
};
export const hostFacts = fc.record({
  id: fc.constantFrom('i-0123456789abcdef0', 'i-1234abcd', 'rack-7', 'ip-10-0-0-1'),
  name: fc.oneof(
    fc.constantFrom('web-1', 'ip-10-0-0-1.ec2.internal'),
    anyText.map((text) => `h${text}`),
  ),
  'cloud.account.id': optional(fc.constantFrom('123456789012', 'mine')),
  'cloud.region': optional(fc.constantFrom('eu-central-1', 'us-gov-west-1', 'cn-north-1')),
  'cloud.availability_zone': optional(fc.constant('eu-central-1a')),
  type: optional(fc.constant('m5.large')),
  'image.id': optional(fc.constant('ami-0123456789abcdef0')),
  tags: optional(
    fc.dictionary(fc.constantFrom('Name', 'team.x', 'a b', 'aws:autoscaling:groupName', '1'), anyText),
  ),
});
const status = fc.constantFrom(100, 200, 206, 302, 401, 403, 404, 500, 999);
const request = fc.record({
  'imds.version': fc.constantFrom(1, 2, null),
  'imds.kind': fc.constantFrom(...imdsKind.options),
  'imds.category': fc.constantFrom(...imdsCategory.options),
  'imds.role': maybe(anyText),
  'imds.endpoint': fc.constantFrom('ipv4', 'ipv6', 'ecs', 'eks'),
  'imds.server_version': fc.constantFrom(1, 2, null),
  'imds.fallback': fc.constantFrom('token_unanswered', 'token_refused', 'adapted', null),
  'imds.hops': optional(maybe(fc.nat(255))),
  'imds.token_hop_limit': optional(maybe(fc.nat(255))),
  'http.request.method': maybe(
    fc.oneof(fc.constantFrom('GET', 'PUT', 'POST', 'HEAD', 'TRACE', 'PATCH', 'get', 'FOO'), anyText),
  ),
  'url.path': maybe(fc.oneof(fc.constantFrom('/latest/meta-data/', '/latest/api/token'), anyText)),
  'url.query': maybe(anyText),
  'user_agent.original': maybe(anyText),
  'http.response.status_code': maybe(status),
  outcome: fc.constantFrom(...outcome.options),
  duration_ms: maybe(fc.constantFrom(0, 1000, 0.25, 12.5, 60_000)),
});
const connection = fc.record({
  'source.address': fc.oneof(ipv4, ipv6),
  'source.port': port,
  'destination.address': fc.oneof(fc.constant('169.254.169.254'), ipv4, ipv6),
  'destination.port': fc.oneof(fc.constant(80), port),
  answered_by: optional(fc.constantFrom('service', 'host', null)),
  'answered_by.evidence': optional(maybe(fc.constantFrom(...answererEvidence.options))),
  'answered_by.confidence': optional(maybe(fc.constantFrom(...attributionConfidence.options))),
  via: optional(maybe(fc.record({ kind: fc.constantFrom(...relayKind.options), ...program }))),
  'caller.role': optional(fc.constantFrom('relay', null)),
  'caller.connection': optional(maybe(fc.constantFrom(...connectionUse.options))),
  opener: optional(maybe(fc.record(program))),
});
const caller = fc.record({
  process: maybe(processFacts),
  container: maybe(
    fc.record({
      id: fc.constant('ab'.repeat(32)),
      name: maybe(anyText),
      'image.name': maybe(fc.oneof(fc.constant('registry.example/app:1.2'), anyText)),
      runtime: maybe(fc.constant('containerd')),
    }),
  ),
  k8s: maybe(
    fc.record({
      'pod.uid': maybe(fc.oneof(uuid, anyText)),
      'pod.name': maybe(anyText),
      'namespace.name': maybe(anyText),
      'container.name': maybe(anyText),
    }),
  ),
  systemd: maybe(fc.record({ unit: maybe(anyText), slice: maybe(anyText) })),
  'attribution.method': fc.constantFrom(...attributionMethod.options),
  'attribution.confidence': fc.constantFrom(...attributionConfidence.options),
});

/** Calls as the store has them, so that texts are cut and cleaned. A blocked call has no request. */
export const generatedCall: fc.Arbitrary<ServedCall> = fc
  .tuple(fc.record({ id: uuid, time, host: hostFacts, offender: id16 }), request, connection, caller)
  .map(([facts, asked, connected, who]) => {
    const blocked = {
      ...{ 'imds.version': null, 'imds.server_version': null, 'imds.role': null, 'imds.fallback': null },
      ...{ 'http.request.method': null, 'url.path': null, 'url.query': null, 'user_agent.original': null },
      ...{
        'http.response.status_code': null,
        duration_ms: null,
        'imds.kind': 'other',
        'imds.category': 'other',
      },
    };
    const what = asked.outcome === 'blocked' ? { ...asked, ...blocked } : asked;
    return servedCall.parse(withoutUndefined({ ...facts, ...what, ...connected, ...who }));
  });

export function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== 'object' || value === null) return value;
  const known = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(known.map(([key, each]) => [key, withoutUndefined(each)]));
}

function hex(number: number): string {
  return number.toString(16).padStart(8, '0');
}
