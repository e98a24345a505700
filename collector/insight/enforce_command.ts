/**
 * AWS CLI commands that change an instance's metadata options. Source: AWS CLI reference,
 * `aws ec2 modify-instance-metadata-options`.
 */
import type { HostFacts } from '../../protocol/call.ts';
import type { CloudInstance } from '../store/store.ts';
import type { Tally } from './counts.ts';

/** EC2 user guide, "Resource IDs": 8 or 17 hexadecimal digits. */
const INSTANCE_ID = /^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
const REGION = /^[a-z]{2,}(?:-[a-z0-9]+)+$/;
const MAX_COMMAND_LINES = 100;

/** Times at which the service was seen on and off. */
type ServiceSeen = Pick<Tally, 'lastSuccessUs' | 'lastForbiddenUs'>;

type NamedHost = Pick<HostFacts, 'id' | 'cloud.region'>;

/** A host that the command may be run for. */
export interface EnforceableHost {
  facts: NamedHost;
  /** See `isSeenEnabled`. */
  seenEnabled: boolean;
  startSeen: boolean;
}

export function isInstanceId(id: string): boolean {
  return INSTANCE_ID.test(id);
}

/**
 * Returns the command that requires tokens. Null if the host's id is not an instance id. The EC2 user guide
 * ("Modify instance metadata options for existing instances") wants `--http-endpoint enabled` beside
 * `--http-tokens`. It would turn the service on where somebody has turned it off, so it is there only if the
 * service was seen to answer. Left out, the present value is kept (AWS CLI reference).
 */
export function enforceCommand(host: NamedHost, seenEnabled: boolean): string | null {
  const endpoint = seenEnabled ? ' --http-endpoint enabled' : '';
  return command(host, `--http-tokens required${endpoint}`);
}

/** Tells whether the last thing that shows it, an answer or the cloud's inventory, shows a service that is on. */
export function isSeenEnabled(
  { lastSuccessUs, lastForbiddenUs }: ServiceSeen,
  instance: CloudInstance | null,
): boolean {
  const seen = { enabled: lastSuccessUs ?? -1, disabled: lastForbiddenUs ?? -1 };
  const supplied = instance?.httpEndpoint ?? null;
  if (supplied !== null) seen[supplied] = Math.max(seen[supplied], instance!.suppliedUs);
  return seen.enabled > seen.disabled;
}

/**
 * Returns what must be known before the command that requires tokens is run. Sources: EC2 user guide,
 * "Configure the Instance Metadata Service options" (order of the options, `HttpTokensEnforced`) and "Example
 * policies: work with instance metadata". Without a start that was seen nothing is proven for what runs at
 * boot, so launch templates and images are not named as the next step.
 */
export function enforceNotes(hosts: readonly EnforceableHost[]): string[] {
  const instances = hosts.filter(({ facts }) => isInstanceId(facts.id));
  if (instances.length === 0) return [];
  const regions = new Set(instances.map(({ facts }) => regionOption(facts)));
  const region = regions.size === 1 ? [...regions][0]! : '';
  const unseen = instances.filter(({ seenEnabled }) => !seenEnabled).length;
  const withoutStart = instances.filter(({ startSeen }) => !startSeen).length;
  return [
    `Look first if it can be undone: "aws ec2 get-instance-metadata-defaults${region}" shows HttpTokensEnforced. Where that is enabled, or a policy of the organisation demands tokens, AWS refuses to go back. Elsewhere the same command with "--http-tokens optional" undoes it.`,
    withoutStart === 0
      ? 'It changes running instances one by one. New ones follow their launch template, then the default of the account, then the image.'
      : `It changes running instances one by one. No start of ${withoutStart} of ${instances.length} was seen, so nothing is proven for what runs at boot: leave launch templates, account defaults and images as they are.`,
    ...(unseen === 0
      ? []
      : [
          `On ${unseen} of ${instances.length} no answer shows that the service is enabled. The command leaves that as it is.`,
        ]),
  ];
}

export function hopLimitCommand(host: NamedHost, hopLimit: number): string | null {
  return command(host, `--http-put-response-hop-limit ${hopLimit}`);
}

/**
 * Returns one line for each command, at most 100 in the order of their ids, and a comment with the number of those left
 * out. Null if there is none.
 */
export function enforceLines(hosts: readonly EnforceableHost[]): string | null {
  const instances = hosts.filter(({ facts }) => isInstanceId(facts.id));
  const shown = firstById(instances, MAX_COMMAND_LINES);
  return joined(
    shown.map(({ facts, seenEnabled }) => enforceCommand(facts, seenEnabled)),
    instances.length,
  );
}

/**
 * Returns one line for each command, at most 100, and a comment with the number of those left out. Null if there is none.
 */
export function commandLines(commands: readonly (string | null)[]): string | null {
  const lines = commands.filter((line) => line !== null);
  return joined(lines.slice(0, MAX_COMMAND_LINES), lines.length);
}

function joined(lines: readonly (string | null)[], count: number): string | null {
  if (count === 0) return null;
  const left = count - lines.length;
  return [...lines, ...(left > 0 ? [`# and ${left} more hosts`] : [])].join('\n');
}

/** Picks the first hosts in one pass: a group can have 100,000. */
function firstById(hosts: readonly EnforceableHost[], limit: number): EnforceableHost[] {
  const picked: EnforceableHost[] = [];
  for (const host of hosts) {
    const { id } = host.facts;
    if (picked.length === limit && id >= picked[limit - 1]!.facts.id) continue;
    const place = picked.findIndex(({ facts }) => id < facts.id);
    picked.splice(place === -1 ? picked.length : place, 0, host);
    if (picked.length > limit) picked.pop();
  }
  return picked;
}

/**
 * Id and region must match patterns that have no character which a shell interprets, so that no text from a
 * host is run.
 */
function command(host: NamedHost, options: string): string | null {
  if (!isInstanceId(host.id)) return null;
  return `aws ec2 modify-instance-metadata-options --instance-id ${host.id}${regionOption(host)} ${options}`;
}

function regionOption(host: NamedHost): string {
  const region = host['cloud.region'];
  return region !== undefined && REGION.test(region) ? ` --region ${region}` : '';
}
