/**
 * A call as a log record of OpenTelemetry. Names are those of the semantic conventions 1.44.0; a field without one has the
 * prefix `imdswatch.`, as their naming rules ask. `mapping.ts` lists all fields.
 */
import type { Ancestor, Call, HostFacts } from '../../protocol/call.ts';
import { toMicroseconds } from '../store/time.ts';
import { type CallRating, ratingOf } from './call_rating.ts';
import { lineOf } from './call_text.ts';
import { programObject } from './caller_parts.ts';
import { compact } from './compact.ts';
import { isInstanceId } from './instance.ts';
import type { CallItem } from './item.ts';
import type { JsonObject } from './json.ts';
import { OTLP_LEVELS, type OtlpValue } from './otlp_value.ts';

/** Methods that `http.request.method` may have (semantic conventions, `model/http/registry.yaml`). */
const METHODS = new Set([
  ...['CONNECT', 'DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT', 'QUERY', 'TRACE'],
]);

const LEVELS = {
  credentials: OTLP_LEVELS.critical,
  v1: OTLP_LEVELS.warning,
  fallback: OTLP_LEVELS.warning,
  rejected: OTLP_LEVELS.warning,
  blocked: OTLP_LEVELS.info,
  routine: OTLP_LEVELS.info,
} as const satisfies Record<CallRating, unknown>;

export function otlpCall({ call, stored }: CallItem): OtlpValue {
  const us = toMicroseconds(call.time);
  return {
    resource: hostResource(call.host),
    time_us: us,
    // The agent saw the request at its own time, so that is the time of observation where nothing later is known.
    observed_us: typeof stored === 'string' ? toMicroseconds(stored) : us,
    ...LEVELS[ratingOf(call)],
    event_name: 'imdswatch.imds.call',
    body: lineOf(call),
    attributes: compact({
      'log.record.uid': call.id,
      ...requestOf(call),
      ...connectionOf(call),
      ...processOf(call),
      ...placeOf(call),
      'imdswatch.attribution.method': call['attribution.method'],
      'imdswatch.attribution.confidence': call['attribution.confidence'],
      'imdswatch.offender.id': call.offender,
    }),
  };
}

/** Returns the attributes of the resource: the host that was watched. */
export function hostResource(host: HostFacts): JsonObject {
  const account = host['cloud.account.id'];
  const region = host['cloud.region'];
  const inCloud = account !== undefined || region !== undefined || isInstanceId(host.id);
  const tags = Object.entries(host.tags ?? {}).map(([key, value]) => [`imdswatch.host.tag.${key}`, value]);
  return compact({
    'host.id': host.id,
    'host.name': host.name,
    'host.type': host.type,
    'host.image.id': host['image.id'],
    ...(inCloud ? { 'cloud.provider': 'aws', 'cloud.platform': 'aws_ec2' } : {}),
    'cloud.account.id': account,
    'cloud.region': region,
    'cloud.availability_zone': host['cloud.availability_zone'],
    ...Object.fromEntries(tags),
  });
}

function requestOf(call: Call) {
  const method = call['http.request.method'];
  const isKnown = method === null || METHODS.has(method);
  const { duration_ms } = call;
  return {
    'imds.version': call['imds.version'],
    'imds.kind': call['imds.kind'],
    'imds.category': call['imds.category'],
    'imds.role': call['imds.role'],
    'imds.endpoint': call['imds.endpoint'],
    'imds.server_version': call['imds.server_version'],
    'imds.fallback': call['imds.fallback'],
    'imds.hops': call['imds.hops'],
    'imds.token_hop_limit': call['imds.token_hop_limit'],
    'http.request.method': isKnown ? method : '_OTHER',
    'http.request.method_original': isKnown ? null : method,
    'url.path': call['url.path'],
    'url.query': call['url.query'],
    'user_agent.original': call['user_agent.original'],
    'http.response.status_code': call['http.response.status_code'],
    'imdswatch.outcome': call.outcome,
    'imdswatch.duration': duration_ms === null ? null : duration_ms / 1000,
  };
}

function connectionOf(call: Call) {
  return {
    'source.address': call['source.address'],
    'source.port': call['source.port'],
    'destination.address': call['destination.address'],
    'destination.port': call['destination.port'],
    'network.transport': 'tcp',
    'network.type': call['destination.address'].includes(':') ? 'ipv6' : 'ipv4',
    'imdswatch.answered_by': call.answered_by,
    'imdswatch.answered_by.evidence': call['answered_by.evidence'],
    'imdswatch.answered_by.confidence': call['answered_by.confidence'],
    'imdswatch.via': programObject(call.via),
    'imdswatch.caller.role': call['caller.role'],
    'imdswatch.caller.connection': call['caller.connection'],
    'imdswatch.opener': programObject(call.opener),
  };
}

function processOf({ process }: Call) {
  if (process === null) return {};
  const path = process['executable.path'];
  const [parent] = process.ancestors;
  return {
    'process.pid': process.pid,
    'process.creation.time': process.start_time,
    'imdswatch.process.comm': process.name,
    'process.executable.path': path,
    'process.executable.name': path === null ? null : path.slice(path.lastIndexOf('/') + 1),
    'process.command_args': process.command_args,
    'process.working_directory': process.working_directory,
    'process.user.id': process['owner.uid'],
    'process.user.name': process['owner.name'],
    'process.title': process.title,
    'imdswatch.process.script': process.script,
    'process.parent_pid': parent?.pid,
    'imdswatch.process.ancestors': parent === undefined ? null : process.ancestors.map(ancestorOf),
  };
}

function ancestorOf({ pid, name, script, ...rest }: Ancestor): JsonObject {
  const { 'executable.path': path, command_args: args } = rest;
  return compact({ pid, name, 'executable.path': path, command_args: args, script });
}

function placeOf({ container, k8s, systemd }: Call) {
  return {
    'container.id': container?.id,
    'container.name': container?.name,
    'container.image.name': container?.['image.name'],
    'container.runtime.name': container?.runtime,
    'k8s.pod.uid': k8s?.['pod.uid'],
    'k8s.pod.name': k8s?.['pod.name'],
    'k8s.namespace.name': k8s?.['namespace.name'],
    'k8s.container.name': k8s?.['container.name'],
    'imdswatch.systemd.unit': systemd?.unit,
    'imdswatch.systemd.slice': systemd?.slice,
  };
}
