/** Which host this is, from what it says of itself without asking anyone. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { HostFacts } from '../../protocol/call.ts';
import type { LookSettings } from '../config.ts';

/** What the operator says of the host. */
export type GivenHost = Partial<
  Pick<LookSettings, 'host_id' | 'host_name' | 'host_account' | 'host_region' | 'host_tags'>
>;

export interface MachineOptions {
  /** Where the files of the machine are; `/` unless given. */
  root?: string;
  env?: NodeJS.ProcessEnv;
}

/** What tells one machine from another. Null: not there, or not for us to read. */
export interface Machine {
  /** EC2 instance id, as Nitro instances have it in DMI (board asset tag). */
  instanceId: string | null;
  /** UUID of a Xen guest; on EC2 it begins with `ec2`, and is another one for each instance. */
  xenUuid: string | null;
  /** Of systemd, machine-id(5). An image may carry one along. */
  machineId: string | null;
  /** Kubernetes node, where the manifest tells it (`NODE_NAME`, by the downward API). */
  nodeName: string | null;
  hostName: string;
}

export const INSTANCE_ID = /^i-[0-9a-f]{8,17}$/;

export function readMachine({ root = '/', env = process.env }: MachineOptions = {}): Machine {
  const line = (path: string) => firstLine(join(root, path));
  const tag = line('sys/class/dmi/id/board_asset_tag');
  return {
    instanceId: tag !== null && INSTANCE_ID.test(tag) ? tag : null,
    xenUuid: line('sys/hypervisor/uuid'),
    // In a container that shares the host's pids, pid 1 has the host's files; its own are of the image, alike on every host.
    machineId: line('proc/1/root/etc/machine-id') ?? line('etc/machine-id'),
    nodeName: env['NODE_NAME']?.trim() || null,
    hostName: hostname(),
  };
}

/** Where a host's id is from. `imds`: the instance metadata service said it. */
export type IdSource = 'given' | 'dmi' | 'imds' | 'node_name' | 'machine_id' | 'host_name';

/** The id without the metadata service: the given one, the instance id of DMI, the node's name, the machine id, the host's name. */
export function idOf(given: GivenHost, machine: Machine): { id: string; source: IdSource } {
  if (given.host_id !== undefined) return { id: given.host_id, source: 'given' };
  if (machine.instanceId !== null) return { id: machine.instanceId, source: 'dmi' };
  if (machine.nodeName !== null) return { id: machine.nodeName, source: 'node_name' };
  if (machine.machineId !== null) return { id: machine.machineId, source: 'machine_id' };
  return { id: nameOf(given, machine), source: 'host_name' };
}

export function nameOf(given: GivenHost, machine: Machine): string {
  return given.host_name ?? machine.nodeName ?? machine.hostName;
}

/** The facts of a host of which nothing was learnt from the metadata service. */
export function hostFacts(given: GivenHost, machine: Machine = readMachine()): HostFacts {
  return withGiven({ id: idOf(given, machine).id, name: nameOf(given, machine) }, given);
}

/** What the operator says wins; tags one by one. */
export function withGiven(facts: HostFacts, given: GivenHost): HostFacts {
  const all = { ...facts };
  if (given.host_account !== undefined) all['cloud.account.id'] = given.host_account;
  if (given.host_region !== undefined) all['cloud.region'] = given.host_region;
  if (given.host_tags !== undefined && given.host_tags.length > 0) {
    all.tags = Object.fromEntries([...Object.entries(facts.tags ?? {}), ...given.host_tags.map(pairOf)]);
  }
  return all;
}

function pairOf(text: string): [string, string] {
  const equals = text.indexOf('=');
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function firstLine(path: string): string | null {
  try {
    return readFileSync(path, 'utf8').split('\n')[0]?.trim() || null;
  } catch {
    return null; // not there, or not for us: the next source is asked
  }
}
