/** Which host this is, from what it says of itself without asking anyone. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { HostFacts } from '../../protocol/call.ts';

/**
 * `id` is the given one, else the EC2 instance id (on Nitro instances DMI's board asset tag), else the machine id of
 * systemd, else the host's name.
 */
export function hostFacts(given: { id?: string | undefined; name?: string | undefined }): HostFacts {
  const name = given.name ?? hostname();
  const id = given.id ?? instanceId() ?? firstLine('/etc/machine-id') ?? name;
  return { id, name };
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
