/** Objects of OCSF 1.5.0 that describe a process, its container, and hosts. */
import { isIP } from 'node:net';
import type {
  Ancestor,
  CallerFacts,
  ContainerFacts,
  HostFacts,
  K8sFacts,
  ProcessFacts,
} from '../../protocol/call.ts';
import { podFields } from './caller_parts.ts';
import { compact } from './compact.ts';
import { isInstanceId } from './instance.ts';
import type { Json, JsonObject } from './json.ts';
import { milliseconds } from './ocsf_base.ts';

const POD_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const VIRTUAL = 6;
const AWS_ACCOUNT = 10;

/** Returns the process with its container; null where the process is not known. */
export function processObject({
  process,
  container,
  k8s,
}: Pick<CallerFacts, 'process' | 'container' | 'k8s'>): JsonObject | null {
  if (process === null) return null;
  const [parent, ...rest] = process.ancestors;
  return compact({
    pid: process.pid,
    name: process.name,
    created_time: milliseconds(process.start_time),
    file: fileObject(process['executable.path']),
    cmd_line: process.command_args?.join(' '),
    working_directory: process.working_directory,
    user: userObject(process),
    parent_process: parent === undefined ? null : parentObject(parent),
    ancestry: rest.length === 0 && parent === undefined ? null : process.ancestors.map(ancestorObject),
    container: containerObject(container, k8s),
  });
}

export function userObject(process: ProcessFacts): JsonObject {
  return compact({ uid: String(process['owner.uid']), name: process['owner.name'] });
}

/** Returns null where neither an id nor a name of a container is known. */
export function containerObject(container: ContainerFacts | null, k8s: K8sFacts | null): JsonObject | null {
  const name = container?.name ?? k8s?.['container.name'] ?? null;
  if (container === null && name === null) return null;
  const image = container?.['image.name'] ?? null;
  const uid = k8s?.['pod.uid'] ?? null;
  return compact({
    uid: container?.id,
    name,
    image: image === null ? null : { uid: image, name: image },
    runtime: container?.runtime,
    pod_uuid: uid !== null && POD_UUID.test(uid) ? uid : null,
    orchestrator: k8s === null ? null : 'Kubernetes',
    labels: labelsOf(k8s),
  });
}

/** Labels have the form "key: value" (OCSF, `container.labels`). */
function labelsOf(k8s: K8sFacts | null): string[] | null {
  const known = k8s === null ? [] : podFields(k8s);
  return known.length === 0 ? null : known.map(([key, value]) => `k8s.${key}: ${value}`);
}

function fileObject(path: string | null): JsonObject | null {
  if (path === null) return null;
  const name = path.slice(path.lastIndexOf('/') + 1);
  return { path, name: name === '' ? path : name, type_id: 1 };
}

function parentObject({ pid, name, command_args, ...rest }: Ancestor): JsonObject {
  return compact({ pid, name, file: fileObject(rest['executable.path']), cmd_line: command_args?.join(' ') });
}

function ancestorObject({ pid, name, command_args, ...rest }: Ancestor): JsonObject {
  return compact({ pid, name, path: rest['executable.path'], cmd_line: command_args?.join(' ') });
}

export function deviceObject(host: HostFacts): JsonObject {
  const image = host['image.id'];
  return compact({
    uid: host.id,
    instance_uid: isInstanceId(host.id) ? host.id : null,
    hostname: host.name,
    name: host.name,
    type_id: VIRTUAL,
    type: 'Virtual',
    image: image === undefined ? null : { uid: image },
    region: host['cloud.region'],
    zone: host['cloud.availability_zone'],
  });
}

export function cloudObject({
  account,
  region,
  zone,
}: { [key in 'account' | 'region' | 'zone']?: string | null }): JsonObject {
  return compact({
    provider: 'AWS',
    account: typeof account === 'string' ? { uid: account, type_id: AWS_ACCOUNT, type: 'AWS Account' } : null,
    region,
    zone,
  });
}

/** An address that is none by the text is a name: the schema takes no others as `ip`. */
export function endpointObject(
  address: string,
  more: { readonly [key: string]: Json | undefined } = {},
): JsonObject {
  return compact({ ...(isIP(address) === 0 ? { name: address } : { ip: address }), ...more });
}

export function tagObjects(tags: Readonly<Record<string, string>>): JsonObject[] | null {
  const list = Object.entries(tags).map(([name, value]) => ({ name, value }));
  return list.length === 0 ? null : list;
}
