/** A call as a document of ECS 9.4. Fields that ECS has no name for stay under `imds.` and `imdswatch.`. */
import { isIP } from 'node:net';
import type { Ancestor, Call } from '../../protocol/call.ts';
import { lineOf, urlOf } from './call_text.ts';
import { participantFields } from './caller_parts.ts';
import { compact, compactOrNull } from './compact.ts';
import { addressFields, distinct, documentOf, hostFields, labelsOf } from './ecs_base.ts';
import { isInstanceId } from './instance.ts';
import type { CallItem } from './item.ts';
import type { JsonObject } from './json.ts';

export function ecsCall({ call, stored }: CallItem): JsonObject {
  const isBlocked = call.outcome === 'blocked';
  const version = call['imds.version'];
  const { host, process } = call;
  const isIpv6 = call['destination.address'].includes(':');
  return compact({
    ...documentOf({
      time: call.time,
      message: lineOf(call),
      dataset: 'calls',
      event: {
        id: call.id,
        kind: 'event',
        category: isBlocked ? ['network'] : ['network', 'web'],
        type: isBlocked ? ['connection', 'denied'] : ['access'],
        action: `${version === null ? 'imds' : `imdsv${version}`}-${call['imds.category']}`,
        outcome: outcomeOf(call),
        reason: call['imds.fallback'],
        duration: call.duration_ms === null ? null : Math.round(call.duration_ms * 1e6),
        ingested: stored,
      },
    }),
    labels: labelsOf(host.tags),
    ...requestOf(call),
    source: { ...addressFields(call['source.address']), port: call['source.port'] },
    destination: { ...addressFields(call['destination.address']), port: call['destination.port'] },
    network: { transport: 'tcp', type: isIpv6 ? 'ipv6' : 'ipv4', protocol: 'http', direction: 'egress' },
    process: processOf(call),
    user:
      process === null ? null : compact({ id: String(process['owner.uid']), name: process['owner.name'] }),
    ...placeOf(call),
    ...hostFields(
      {
        id: host.id,
        name: host.name,
        account: host['cloud.account.id'],
        region: host['cloud.region'],
        zone: host['cloud.availability_zone'],
        type: host.type,
      },
      isInstanceId(host.id),
    ),
    related: compact({
      ip: distinct([call['source.address'], call['destination.address']].filter((each) => isIP(each) !== 0)),
      user: distinct([process?.['owner.name']]),
      hosts: distinct([host.id, host.name]),
    }),
    imds: compact({
      version,
      kind: call['imds.kind'],
      category: call['imds.category'],
      role: call['imds.role'],
      endpoint: call['imds.endpoint'],
      server_version: call['imds.server_version'],
      hops: call['imds.hops'],
      token_hop_limit: call['imds.token_hop_limit'],
    }),
    imdswatch: ownFields(call),
  });
}

/** A service that does not have something says so with 404: the call worked. */
function outcomeOf(call: Call): 'success' | 'failure' | 'unknown' {
  if (call.outcome === 'truncated') return 'unknown';
  const status = call['http.response.status_code'];
  if (call.outcome !== 'answered' || status === null) return 'failure';
  return (status >= 200 && status < 300) || status === 404 ? 'success' : 'failure';
}

function requestOf(call: Call) {
  const method = call['http.request.method'];
  const status = call['http.response.status_code'];
  const agent = call['user_agent.original'];
  return {
    http: compactOrNull({
      request: method === null ? null : { method },
      response: status === null ? null : { status_code: status },
    }),
    url: compactOrNull({ path: call['url.path'], query: call['url.query'], full: urlOf(call) }),
    user_agent: agent === null ? null : { original: agent },
  };
}

function processOf({ process }: Call): JsonObject | null {
  if (process === null) return null;
  const { command_args: args } = process;
  const [parent] = process.ancestors;
  return compact({
    pid: process.pid,
    start: process.start_time,
    name: process.name,
    title: process.title,
    executable: process['executable.path'],
    args,
    args_count: args?.length,
    working_directory: process.working_directory,
    parent:
      parent === undefined
        ? null
        : compact({
            pid: parent.pid,
            name: parent.name,
            executable: parent['executable.path'],
            args: parent.command_args,
            args_count: parent.command_args?.length,
          }),
  });
}

function placeOf({ container, k8s }: Call) {
  const image = container?.['image.name'];
  const pod = compactOrNull({ name: k8s?.['pod.name'], id: k8s?.['pod.uid'] });
  return {
    container:
      container === null
        ? null
        : compact({
            id: container.id,
            name: container.name,
            image: typeof image === 'string' ? { name: image } : null,
            runtime: container.runtime,
          }),
    orchestrator:
      k8s === null
        ? null
        : compact({
            type: 'kubernetes',
            namespace: k8s['namespace.name'],
            resource: pod === null ? null : { type: 'pod', ...pod },
          }),
  };
}

function ownFields(call: Call & { offender: string }): JsonObject {
  const { process } = call;
  return compact({
    offender: { id: call.offender },
    outcome: call.outcome,
    script: process?.script,
    ancestors: process === null || process.ancestors.length === 0 ? null : process.ancestors.map(ancestorOf),
    attribution: { method: call['attribution.method'], confidence: call['attribution.confidence'] },
    kubernetes_container: call.k8s?.['container.name'],
    image_id: call.host['image.id'],
    ...participantFields(call),
  });
}

function ancestorOf({ pid, name, command_args, script, ...rest }: Ancestor): JsonObject {
  return compact({ pid, name, executable: rest['executable.path'], args: command_args, script });
}
