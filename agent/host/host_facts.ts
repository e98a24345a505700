/** Identifies the host by its files and environment, without any request. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { HostFacts } from '../../protocol/call.ts';
import type { LookSettings } from '../config.ts';

/** Facts of the host that the operator has set. */
export type GivenHost = Partial<
  Pick<LookSettings, 'host_id' | 'host_name' | 'host_account' | 'host_region' | 'host_tags'>
>;

export interface MachineOptions {
  /** Root directory of the machine's files. Defaults to `/`. */
  root?: string;
  env?: NodeJS.ProcessEnv;
}

/** Marks that distinguish one machine from another. Null for a mark that is missing or cannot be read. */
export interface Machine {
  /** EC2 instance id, as Nitro instances have it in DMI (board asset tag). */
  instanceId: string | null;
  /** UUID of a Xen guest; on EC2 it begins with `ec2`, and each instance has its own. */
  xenUuid: string | null;
  /** The machine-id(5) of systemd. A copied disk image may bring one along. */
  machineId: string | null;
  /** Kubernetes node, if the manifest sets it (`NODE_NAME`, by the downward API). */
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
    // In a container that shares the host's pids, pid 1 has the host's files. The container's own file comes
    // from its image and is the same on every host.
    machineId: line('proc/1/root/etc/machine-id') ?? line('etc/machine-id'),
    nodeName: env['NODE_NAME']?.trim() || null,
    hostName: hostname(),
  };
}

/** Source of a host's id. `given`: the operator. `imds`: the instance metadata service. */
export type IdSource = 'given' | 'dmi' | 'imds' | 'node_name' | 'machine_id' | 'host_name';

/**
 * Returns the host's id without the metadata service: the operator's, else the instance id of DMI, else the
 * node's name, else the machine id, else the host's name.
 */
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

/** Returns the facts of a host about which nothing was learnt from the metadata service. */
export function hostFacts(given: GivenHost, machine: Machine = readMachine()): HostFacts {
  return withGiven({ id: idOf(given, machine).id, name: nameOf(given, machine) }, given);
}

/** Returns the facts with the operator's values in place of others. Tags are replaced one by one. */
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
    return null; // missing or not readable: the next source is used
  }
}
