/**
 * AWS CLI commands that change an instance's metadata options. Source: AWS CLI reference,
 * `aws ec2 modify-instance-metadata-options`.
 */
import type { HostFacts } from '../../protocol/call.ts';

/** EC2 user guide, "Resource IDs": 8 or 17 hexadecimal digits. */
const INSTANCE_ID = /^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
const REGION = /^[a-z]{2,}(?:-[a-z0-9]+)+$/;
const MAX_COMMAND_LINES = 100;
/** Enough for one network in between, such as a container's bridge. */
export const ADVISED_HOP_LIMIT = 2;

export function isInstanceId(id: string): boolean {
  return INSTANCE_ID.test(id);
}

/** Returns the command that requires tokens. Null if the host's id is not an instance id. */
export function enforceCommand(host: HostFacts): string | null {
  return command(host, '--http-tokens required --http-endpoint enabled');
}

export function hopLimitCommand(host: HostFacts, hopLimit: number): string | null {
  return command(host, `--http-put-response-hop-limit ${hopLimit}`);
}

/**
 * Returns one line for each command, at most 100, and a comment with the number of those left out. Null if
 * there is none.
 */
export function commandLines(commands: readonly (string | null)[]): string | null {
  const lines = commands.filter((line) => line !== null);
  if (lines.length === 0) return null;
  const left = lines.length - MAX_COMMAND_LINES;
  const shown = lines.slice(0, MAX_COMMAND_LINES);
  return [...shown, ...(left > 0 ? [`# and ${left} more hosts`] : [])].join('\n');
}

/**
 * Id and region must match patterns that have no character which a shell interprets, so that no text from a
 * host is run.
 */
function command(host: HostFacts, options: string): string | null {
  if (!isInstanceId(host.id)) return null;
  const region = host['cloud.region'];
  const where = region !== undefined && REGION.test(region) ? ` --region ${region}` : '';
  return `aws ec2 modify-instance-metadata-options --instance-id ${host.id}${where} ${options}`;
}
