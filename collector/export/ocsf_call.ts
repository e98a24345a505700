/**
 * A call as an event of OCSF 1.5.0: HTTP Activity (4002); Network Activity (4001) where no request left the host. `mapping.ts`
 * lists all fields.
 */
import type { Call } from '../../protocol/call.ts';
import { type CallRating, ratingOf } from './call_rating.ts';
import { lineOf, urlOf } from './call_text.ts';
import { participantFields, podFields } from './caller_parts.ts';
import { compact, compactOrNull } from './compact.ts';
import type { CallItem } from './item.ts';
import type { Json, JsonObject } from './json.ts';
import { type Activity, baseOf, milliseconds, OCSF_CLASSES, type OcsfSeverity } from './ocsf_base.ts';
import {
  cloudObject,
  containerObject,
  deviceObject,
  endpointObject,
  processObject,
  userObject,
} from './ocsf_objects.ts';

const SEVERITY: Record<CallRating, OcsfSeverity> = {
  ...{ credentials: 4, v1: 3, fallback: 2, rejected: 2, blocked: 1, routine: 1 },
};
const ACTIVITIES: Readonly<Record<string, Activity>> = {
  CONNECT: { id: 1, name: 'Connect' },
  DELETE: { id: 2, name: 'Delete' },
  GET: { id: 3, name: 'Get' },
  HEAD: { id: 4, name: 'Head' },
  OPTIONS: { id: 5, name: 'Options' },
  POST: { id: 6, name: 'Post' },
  PUT: { id: 7, name: 'Put' },
  TRACE: { id: 8, name: 'Trace' },
};
const FAIL = { id: 4, name: 'Fail' };
const ALLOWED = { action_id: 1, action: 'Allowed', disposition_id: 15, disposition: 'Detected' };
const DENIED = { action_id: 2, action: 'Denied', disposition_id: 2, disposition: 'Blocked' };
const CONFIDENCE = {
  exact: { confidence_id: 3, confidence: 'High' },
  probable: { confidence_id: 2, confidence: 'Medium' },
  none: { confidence_id: 0, confidence: 'Unknown' },
};

export function ocsfCall({ call, stored }: CallItem): JsonObject {
  const rating = ratingOf(call);
  const isBlocked = rating === 'blocked';
  const process = processObject(call);
  const container = process === null ? containerObject(call.container, call.k8s) : null;
  const hasContainer = container !== null || process?.['container'] !== undefined;
  const version = call['imds.version'];
  const base = baseOf(isBlocked ? OCSF_CLASSES.networkActivity : OCSF_CLASSES.httpActivity, {
    activity: isBlocked ? FAIL : activityOf(call['http.request.method']),
    severity: SEVERITY[rating],
    time: call.time,
    metadata: {
      uid: call.id,
      correlation_uid: call.offender,
      event_code: `${version === null ? 'imds' : `imdsv${version}`}.${call['imds.category']}`,
      logged_time: typeof stored === 'string' ? milliseconds(stored) : null,
    },
    profiles: ['cloud', ...(hasContainer ? ['container'] : []), 'host', 'security_control'],
  });
  const device = deviceObject(call.host);
  const actor = process === null ? null : { process, user: userObject(call.process!) };
  const source = endpointObject(call['source.address'], { port: call['source.port'], container });
  const event: { [key: string]: Json | undefined } = {
    ...base,
    message: lineOf(call),
    ...(isBlocked ? DENIED : ALLOWED),
    is_alert: rating === 'credentials' ? true : null,
    ...CONFIDENCE[call['attribution.confidence']],
    ...statusOf(call),
    ...(isBlocked ? {} : requestOf(call)),
    cloud: cloudObject({
      account: call.host['cloud.account.id'] ?? null,
      region: call.host['cloud.region'] ?? null,
      zone: call.host['cloud.availability_zone'] ?? null,
    }),
    device,
    actor,
    src_endpoint: source,
    dst_endpoint: endpointObject(call['destination.address'], {
      port: call['destination.port'],
      svc_name: call['imds.endpoint'],
    }),
    connection_info: {
      direction_id: 2,
      direction: 'Outbound',
      protocol_num: 6,
      protocol_name: 'tcp',
      protocol_ver_id: call['destination.address'].includes(':') ? 6 : 4,
    },
    unmapped: unmappedOf(call, process === null),
  };
  return compact({ ...event, observables: observablesOf(call) });
}

function activityOf(method: string | null): Activity {
  if (method === null) return { id: 0, name: 'Unknown' };
  return Object.hasOwn(ACTIVITIES, method) ? ACTIVITIES[method]! : { id: 99, name: method };
}

/** The service has answered a request for something that it does not have with 404: the call worked. */
function statusOf(call: Call) {
  const status = call['http.response.status_code'];
  const worked =
    call.outcome === 'answered' && status !== null && ((status >= 200 && status < 300) || status === 404);
  const isUnknown = call.outcome === 'truncated';
  const fallback = call['imds.fallback'];
  return {
    status_id: isUnknown ? 0 : worked ? 1 : 2,
    status: isUnknown ? 'Unknown' : worked ? 'Success' : 'Failure',
    status_code: status === null ? null : String(status),
    status_detail: fallback === null ? call.outcome : `${call.outcome}, ${fallback}`,
  };
}

function requestOf(call: Call) {
  const method = call['http.request.method'];
  const path = call['url.path'];
  const version = call['imds.version'];
  const status = call['http.response.status_code'];
  const duration = call.duration_ms === null ? null : Math.round(call.duration_ms);
  const url = urlOf(call);
  return {
    http_request: compact({
      http_method: method,
      user_agent: call['user_agent.original'],
      url:
        url === null
          ? null
          : compact({
              ...{ url_string: url, path, query_string: call['url.query'], scheme: 'http' },
              ...{ hostname: call['destination.address'], port: call['destination.port'] },
            }),
    }),
    http_response: status === null ? null : compact({ code: status, latency: duration }),
    duration,
    api: compact({
      operation: [method ?? 'request', operationPath(call)].filter((part) => part !== null).join(' '),
      version: version === null ? null : `IMDSv${version}`,
      service: { name: call['imds.endpoint'] },
    }),
  };
}

/** The path without the name of the role, so that calls for different roles are one operation. */
function operationPath({ 'url.path': path, 'imds.role': role }: Call): string | null {
  if (path === null || role === null || !path.endsWith(`/${role}`)) return path;
  return `${path.slice(0, path.length - role.length)}{role}`;
}

function unmappedOf(call: Call, noProcess: boolean): JsonObject | null {
  const { process, host } = call;
  const scripts = process?.ancestors.some(({ script }) => script !== null && script !== undefined)
    ? process.ancestors.map(({ script }) => script ?? null)
    : null;
  const hasContainer = call.container !== null || (call.k8s?.['container.name'] ?? null) !== null;
  return compactOrNull({
    imds: compact({
      version: call['imds.version'],
      kind: call['imds.kind'],
      role: call['imds.role'],
      server_version: call['imds.server_version'],
      hops: call['imds.hops'],
      token_hop_limit: call['imds.token_hop_limit'],
    }),
    duration_ms: call.duration_ms,
    process: compactOrNull({ script: process?.script, title: process?.title, ancestor_scripts: scripts }),
    pod: call.k8s !== null && !hasContainer ? compactOrNull(Object.fromEntries(podFields(call.k8s))) : null,
    pod_uid: hasContainer ? call.k8s?.['pod.uid'] : null,
    attribution_method: call['attribution.method'],
    ...participantFields(call),
    container_without_process: noProcess && hasContainer ? true : null,
    host_type: host.type,
    tags: host.tags === undefined ? null : compactOrNull(host.tags),
  });
}

/** Numbers and captions of the types of observables. */
const OBSERVABLES = [
  ['src_endpoint.ip', 2, 'IP Address', (call: Call) => call['source.address']],
  ['device.hostname', 1, 'Hostname', (call: Call) => call.host.name],
  ['device.uid', 10, 'Resource UID', (call: Call) => call.host.id],
  ['actor.process.name', 9, 'Process Name', (call: Call) => call.process?.name],
  ['actor.process.pid', 15, 'Process ID', (call: Call) => call.process?.pid.toString()],
  ['actor.process.cmd_line', 13, 'Command Line', (call: Call) => call.process?.command_args?.join(' ')],
  ['actor.process.file.path', 45, 'File Path', (call: Call) => call.process?.['executable.path']],
  ['actor.user.name', 4, 'User Name', (call: Call) => call.process?.['owner.name']],
  ['http_request.url.url_string', 6, 'URL String', urlOf],
  ['http_request.user_agent', 16, 'HTTP User-Agent', (call: Call) => call['user_agent.original']],
] as const;

function observablesOf(call: Call): JsonObject[] {
  return OBSERVABLES.flatMap(([name, type_id, type, read]) => {
    const value = read(call);
    return value === null || value === undefined ? [] : [{ name, type_id, type, value }];
  });
}
