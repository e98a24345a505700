/** Which host this is, from what it says of itself without asking anyone. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { HostFacts } from '../../protocol/call.ts';
import type { LookSettings } from '../config.ts';

/** What the operator says of the host. */
type GivenHost = Partial<
  Pick<LookSettings, 'host_id' | 'host_name' | 'host_account' | 'host_region' | 'host_tags'>
>;

/**
 * `id` is the given one, else the EC2 instance id (on Nitro instances DMI's board asset tag), else the machine id of
 * systemd, else the host's name.
 */
export function hostFacts(given: GivenHost): HostFacts {
  const name = given.host_name ?? hostname();
  const id = given.host_id ?? instanceId() ?? firstLine('/etc/machine-id') ?? name;
  const facts: HostFacts = { id, name };
  if (given.host_account !== undefined) facts['cloud.account.id'] = given.host_account;
  if (given.host_region !== undefined) facts['cloud.region'] = given.host_region;
  if (given.host_tags !== undefined && given.host_tags.length > 0) facts.tags = tagsOf(given.host_tags);
  return facts;
}

function tagsOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const equals = pair.indexOf('=');
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

function instanceId(): string | undefined {
  const tag = firstLine('/sys/class/dmi/id/board_asset_tag');
  return tag !== undefined && /^i-[0-9a-f]{8,17}$/.test(tag) ? tag : undefined;
}

function firstLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n')[0]?.trim() || undefined;
  } catch {
    return undefined; // not there, or not for us: the next source is asked
  }
}
