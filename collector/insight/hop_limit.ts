/**
 * Computes the hop limit that lets a token's answer reach its client. Pure. The answer to a token request may pass as many
 * hops as `HttpPutResponseHopLimit` says: the host is the first, and every router on it one more (EC2 user guide, "Use
 * the Instance Metadata Service to access instance metadata", and "IMDS considerations" for containers).
 *
 * The limit is never a constant. It follows from the routers that were measured, else from the present setting, which was
 * not enough. Without both, the advice says what to measure.
 */
import { type Step, shellStep, textStep } from '../../known_clients/step.ts';
import type { HostFacts } from '../../protocol/call.ts';
import type { CloudInstance, MeasuredHops } from '../store/store.ts';
import { commandLines, hopLimitCommand, isInstanceId } from './enforce_command.ts';

/** EC2 API reference, ModifyInstanceMetadataOptions: 1 to 64. */
const MAX_HOP_LIMIT = 64;
const FIND_RULES = 'nft list ruleset; iptables -S; iptables -t nat -S';

/** The distance of a workload on one host, and the setting there. Null where it is not known. */
export interface HopEvidence {
  host: HostFacts;
  /** Routers between the client and the service, the largest number that was measured. */
  hops: number | null;
  /** The instance's present hop limit. */
  setting: number | null;
}

/** `raise`: to `hopLimit`. `enough`: the setting reaches the client, so something else drops the answer. */
export type HopLimitVerdict =
  | { action: 'raise'; hopLimit: number }
  | { action: 'enough' }
  | { action: 'measure' };

/** Joins the measured distances of one host with what the operator supplied about it. */
export function hopEvidence(
  host: HostFacts,
  measured: readonly MeasuredHops[],
  instance: CloudInstance | null,
): HopEvidence {
  const hops = measured.length === 0 ? null : Math.max(...measured.map((each) => each.hops));
  const latest = measured
    .filter(({ tokenHopLimit }) => tokenHopLimit !== null)
    .reduce<MeasuredHops | null>((last, each) => (each.lastUs > (last?.lastUs ?? -1) ? each : last), null);
  // The observed value counts, unless the operator has supplied a later one.
  const isSuppliedLater = instance?.hopLimit != null && instance.suppliedUs > (latest?.lastUs ?? -1);
  return { host, hops, setting: isSuppliedLater ? instance.hopLimit : (latest?.tokenHopLimit ?? null) };
}

export function hopLimitFor({ hops, setting }: Pick<HopEvidence, 'hops' | 'setting'>): HopLimitVerdict {
  if (hops === null) {
    return setting === null || setting >= MAX_HOP_LIMIT
      ? { action: 'measure' }
      : { action: 'raise', hopLimit: setting + 1 };
  }
  // A client on the host itself needs one hop, which is the smallest setting.
  const needed = hops + 1;
  if (needed <= (setting ?? 1)) return { action: 'enough' };
  if (needed > MAX_HOP_LIMIT) return { action: 'measure' };
  return { action: 'raise', hopLimit: needed };
}

/** Returns the hop limit to advise for all of them together; null if it is none or not known. */
export function advisedHopLimit(evidence: readonly HopEvidence[]): number | null {
  const limits = evidence
    .map(hopLimitFor)
    .flatMap((each) => (each.action === 'raise' ? [each.hopLimit] : []));
  return limits.length === 0 ? null : Math.max(...limits);
}

/** Returns the command that raises the hop limit of one host; null if that is not what it needs. */
export function hopLimitCommandOf(evidence: HopEvidence): string | null {
  const verdict = hopLimitFor(evidence);
  return verdict.action === 'raise' ? hopLimitCommand(evidence.host, verdict.hopLimit) : null;
}

/** Returns whether the setting is enough on every host, so that the hop limit is not the cause. */
export function isHopLimitEnough(evidence: readonly HopEvidence[]): boolean {
  return evidence.length > 0 && evidence.every((each) => hopLimitFor(each).action === 'enough');
}

/** Returns the steps against token requests without an answer. */
export function hopLimitSteps(evidence: readonly HopEvidence[]): Step[] {
  const byAction = Map.groupBy(evidence, (each) => hopLimitFor(each).action);
  const enough = byAction.get('enough') ?? [];
  const measure = evidence.length === 0 ? [] : (byAction.get('measure') ?? []);
  return [
    ...raiseSteps(byAction.get('raise') ?? []),
    ...(enough.length > 0 ? [lookStep(enough)] : []),
    ...(measure.length > 0 || evidence.length === 0 ? measureSteps(measure) : []),
    ...(enough.length === evidence.length && evidence.length > 0 ? [] : ALTERNATIVES),
  ];
}

/** For a unit of the host, as far as its distance was not measured. */
export const LOOK_FOR_A_RULE: Step = shellStep(
  'Check whether a local rule or a proxy blocks the answer to the token request.',
  FIND_RULES,
);

function raiseSteps(evidence: readonly HopEvidence[]): Step[] {
  const byText = Map.groupBy(evidence, raiseText);
  return [...byText].map(([text, hosts]) => {
    const hopLimit = advisedHopLimit(hosts)!;
    const code = commandLines(hosts.map(({ host }) => hopLimitCommand(host, hopLimit)));
    return shellStep(
      text,
      code ??
        `aws ec2 modify-instance-metadata-options --instance-id INSTANCE --http-put-response-hop-limit ${hopLimit}`,
    );
  });
}

function raiseText(evidence: HopEvidence): string {
  const { hops, setting } = evidence;
  const hopLimit = advisedHopLimit([evidence]);
  if (hops === null) {
    return `Raise the hop limit to ${hopLimit}: it is ${setting} now, which is not enough. How far the client is from the service was not measured, so look again afterwards.`;
  }
  const routers = hops === 1 ? 'One router' : `${hops} routers`;
  const now = setting === null ? '' : `, and the limit is ${setting} now`;
  return `Raise the hop limit to ${hopLimit}. ${routers} on the host forwarded its calls, as was measured${now}.`;
}

function lookStep(evidence: readonly HopEvidence[]): Step {
  const { hops, setting } = evidence[0]!;
  const why =
    hops === 0
      ? 'No router on the host forwarded its calls, so one hop is enough.'
      : `The hop limit is ${setting}, and it needs ${hops! + 1}. If it was raised after these calls, restart the program instead. If there is no such rule, the way back is longer than the way out (cilium/cilium#25232): raise the hop limit by one.`;
  return shellStep(
    `Find the rule or the proxy that drops the answer to its token requests. ${why}`,
    FIND_RULES,
  );
}

/** Source: RFC 791, section 3.2 (time to live), and net.ipv4.ip_default_ttl, which is 64. */
function measureSteps(evidence: readonly HopEvidence[]): Step[] {
  const ids = evidence.flatMap(({ host }) => (isInstanceId(host.id) ? [host.id] : []));
  return [
    shellStep(
      'Measure how far it is from the service: run this on the host while it calls. The hop limit that it needs is 65 minus the smallest ttl that is shown.',
      'sudo tcpdump -v -n -i any -c 20 tcp and dst host 169.254.169.254',
    ),
    shellStep(
      'Look up the present hop limit. It must be lower than that; else a rule or a proxy drops the answer.',
      `aws ec2 describe-instances --instance-ids ${ids.slice(0, 10).join(' ') || 'INSTANCE'} --query 'Reservations[].Instances[].[InstanceId,MetadataOptions.HttpPutResponseHopLimit]'`,
    ),
  ];
}

const ALTERNATIVES: readonly Step[] = [
  textStep(
    'Or leave the hop limit as it is, and let the container use the network of the host, where one hop is enough (docker run --network host, hostNetwork: true).',
  ),
  shellStep(
    'Or give this container no metadata: credentials by ECS task roles, EKS Pod Identity or IRSA, and this in its environment.',
    'AWS_EC2_METADATA_DISABLED=true',
  ),
];
