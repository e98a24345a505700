/** Plans and values for tests of the enforcement. */
import type { MetadataOptions, Plan, PlanStep, Policy, Recorded } from '../../../enforce/plan.ts';

export const PLACE = { account: '123456789012', region: 'eu-central-1' };

export const POLICY: Policy = {
  max_share: 0.25,
  soak_seconds: 600,
  canary_soak_seconds: 1200,
  maintenance_windows: [],
  exclude_tags: [],
  probe: null,
  alarms: [],
  no_way_back_reason: null,
  unproven_host_reason: null,
  owned_reason: null,
};

export const OPTIONAL: MetadataOptions = {
  http_tokens: 'optional',
  http_endpoint: 'enabled',
  hop_limit: 1,
  http_protocol_ipv6: 'disabled',
  instance_metadata_tags: 'disabled',
};

/** Returns the id of the instance with this number. */
export function instanceId(number: number): string {
  return `i-${number.toString(16).padStart(17, '0')}`;
}

export function instanceStep(id: number, given: Partial<PlanStep> & { instance?: number } = {}): PlanStep {
  const { instance = id, ...rest } = given;
  return {
    id: `s${id}`,
    target: { type: 'instance', ...PLACE, instance_id: instanceId(instance), host_name: `host-${instance}` },
    change: { http_tokens: 'required' },
    group: 'asg:web',
    wave: 1,
    role: 'wave',
    evidence: null,
    ...rest,
  };
}

export function planOf(steps: PlanStep[], policy: Partial<Policy> = {}, size = 4): Plan {
  return {
    format: 1,
    id: 'p-0123456789ab',
    created: '2026-03-01T00:00:00.000Z',
    created_by: 'command:tester',
    policy: { ...POLICY, ...policy },
    groups: [...new Set(steps.map(({ group }) => group))].map((id) => ({
      id,
      size,
      hosts: steps.flatMap(({ group, target }) =>
        group === id && target.type === 'instance' ? [target.instance_id] : [],
      ),
      evidence: null,
    })),
    steps,
    left_out: [],
  };
}

export function instanceValues(options: Partial<MetadataOptions> = {}): Recorded {
  return { type: 'instance', options: { ...OPTIONAL, ...options } };
}
