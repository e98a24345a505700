/**
 * Finds the instances that were launched with what a plan has changed: its launch templates, versions of groups, and
 * defaults of accounts. Those are the instances that such a change can break, whether the plan knew their group or not.
 */
import { SCALING_GROUP_TAG, TEMPLATE_TAG, TEMPLATE_VERSION_TAG } from '../../common/instance_tags.ts';
import type { Cloud, InstanceDescription } from '../cloud.ts';
import type { Findings, NewHost } from '../findings.ts';
import type { Plan, PlanStep, Target } from '../plan.ts';
import { concernsLaunches, type PlanState, requiresTokens } from '../state/step_state.ts';

/** New instances are looked for this often. */
const LOOK_MS = 10_000;
/** The clock of a host may differ from ours by this much before its launch time in the cloud decides. */
const HOST_CLOCK_MS = 600_000;
/** AWS's clock may differ from ours by this much. */
const CLOUD_CLOCK_MS = 60_000;

interface Launched {
  hostId: string;
  tags: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. Null: the cloud does not list it any more. */
  launchedMs: number | null;
}

export interface LaunchOptions {
  plan: Plan;
  findings: Pick<Findings, 'newHosts'>;
  cloudOf: (target: Target) => Cloud;
}

export class Launches {
  readonly #options: LaunchOptions;
  readonly #described = new Map<string, InstanceDescription>();
  /** Versions of templates, and whether each says itself if tokens are required. */
  readonly #saysTokens = new Map<string, boolean>();
  #lookedMs = Number.NEGATIVE_INFINITY;
  #byStep = new Map<string, string[]>();

  constructor(options: LaunchOptions) {
    this.#options = options;
  }

  /**
   * Returns the ids of hosts by the steps that they were launched with, for steps whose change may be in force. Throws
   * `OperatorError` if the collector cannot be asked. What the cloud does not answer is asked again later, and counts as
   * launched with the change if the agent's own tags do not tell otherwise.
   */
  async look(state: PlanState, nowMs: number): Promise<ReadonlyMap<string, readonly string[]>> {
    if (Math.abs(nowMs - this.#lookedMs) < LOOK_MS) return this.#byStep;
    const { plan } = this.#options;
    const found = new Map<string, string[]>();
    const changed = plan.steps.filter((step) => {
      const { isWritten, sentMs } = state.steps[step.id]!;
      return concernsLaunches(step) && requiresTokens(step) && isWritten && sentMs !== null;
    });
    const places = Map.groupBy(changed, ({ target }) => `${target.account}/${target.region}`);
    for (const steps of places.values()) {
      const sentMs = (step: PlanStep) => state.steps[step.id]!.sentMs!;
      const hosts = await this.#hostsSince(steps[0]!.target, Math.min(...steps.map(sentMs)));
      for (const step of steps) {
        const launched: string[] = [];
        for (const host of hosts) {
          if (await this.#isLaunchedWith(step, state, host)) launched.push(host.hostId);
        }
        found.set(step.id, launched);
      }
    }
    this.#lookedMs = nowMs;
    this.#byStep = found;
    return found;
  }

  async #hostsSince(target: Target, sinceMs: number): Promise<Launched[]> {
    const { findings, cloudOf } = this.#options;
    const hosts = await findings.newHosts(target, sinceMs - HOST_CLOCK_MS);
    const unknown = hosts.map(({ hostId }) => hostId).filter((id) => !this.#described.has(id));
    if (unknown.length > 0) {
      const described = await cloudOf(target).describeInstances(unknown);
      if (described.ok) for (const each of described.value) this.#described.set(each.instanceId, each);
    }
    return hosts.map((host) => this.#launched(host));
  }

  #launched({ hostId, tags }: NewHost): Launched {
    const description = this.#described.get(hostId);
    return description === undefined
      ? { hostId, tags, launchedMs: null }
      : { hostId, tags: description.owner.tags, launchedMs: description.launchedMs };
  }

  async #isLaunchedWith(step: PlanStep, state: PlanState, host: Launched): Promise<boolean> {
    const { target } = step;
    const { sentMs } = state.steps[step.id]!;
    if (host.launchedMs !== null && host.launchedMs < sentMs! - CLOUD_CLOCK_MS) return false;
    switch (target.type) {
      case 'instance':
        return false;
      case 'template':
        return isOfVersion(host, target.template_id, versionOf(state, step.id));
      case 'template_default':
        return isOfVersion(host, target.template_id, versionOf(state, target.created_by));
      case 'group_version':
        return (
          host.tags[SCALING_GROUP_TAG] === target.scaling_group &&
          isOfVersion(host, target.template_id, versionOf(state, target.created_by))
        );
      case 'account_default':
        return !(await this.#hasOwnSetting(target, host));
    }
  }

  /** Returns whether the template of the instance decides itself, so that the account's default has no effect. */
  async #hasOwnSetting(target: Target, { tags }: Launched): Promise<boolean> {
    const template = tags[TEMPLATE_TAG];
    const version = Number(tags[TEMPLATE_VERSION_TAG]);
    if (template === undefined || !Number.isInteger(version)) return false;
    const key = `${template} ${version}`;
    const known = this.#saysTokens.get(key);
    if (known !== undefined) return known;
    const described = await this.#options.cloudOf(target).describeTemplateVersion(template, version);
    if (!described.ok) return false;
    const saysTokens = described.value.options.http_tokens !== null;
    this.#saysTokens.set(key, saysTokens);
    return saysTokens;
  }
}

/** Returns the version that a step has made. Null: not known. */
function versionOf(state: PlanState, stepId: string): number | null {
  const after = state.steps[stepId]?.after ?? null;
  return after?.type === 'template' ? after.version : null;
}

/** A later version is made from ours as a rule, so it counts as well. */
function isOfVersion({ tags }: Launched, templateId: string, made: number | null): boolean {
  if (tags[TEMPLATE_TAG] !== templateId) return false;
  const version = Number(tags[TEMPLATE_VERSION_TAG]);
  return !Number.isInteger(version) || made === null || version >= made;
}
