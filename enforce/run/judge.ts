/** Gathers the facts of a step and asks the guards. It changes nothing: every call to the cloud reads or is a dry run. */
import type { Cloud } from '../cloud.ts';
import type { Findings } from '../findings.ts';
import { ownGroup, scalingGroupOf } from '../groups.ts';
import { type WitnessFacts, wayBackOf } from '../guards/common_guards.ts';
import type { InstanceFacts, SharedFacts, StepFacts } from '../guards/facts.ts';
import { askAll, sumUp } from '../guards/guard.ts';
import { INSTANCE_GUARDS } from '../guards/instance_guards.ts';
import { SHARED_GUARDS } from '../guards/shared_guards.ts';
import { SOAK_GUARDS } from '../guards/soak_guards.ts';
import type { Plan, PlanStep, Recorded, Target } from '../plan.ts';
import type { Finding } from '../state/events.ts';
import { allowedAtRisk } from '../state/intents.ts';
import { Progress } from '../state/progress.ts';
import type { PlanState } from '../state/step_state.ts';
import { valuesAfter } from '../state/values.ts';
import { isServiceOn, readTarget, sendBack, sendChange } from './target_calls.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** CloudWatch's figures of the last hours are asked for, up to the last whole minute. */
const COUNTED_MS = 3 * HOUR_MS;

export interface JudgeParts {
  plan: Plan;
  cloudOf: (target: Target) => Cloud;
  findings: Findings;
  /** Runs the plan's probe. Returns its exit code, or why it could not be run. */
  probe: (command: readonly string[]) => Promise<number | string>;
  /** Returns other plans of this machine that are under way for the same target. */
  otherPlans: (target: Target) => string[];
  /** Milliseconds since 1970, by this machine's clock. */
  now: () => number;
  /** The same by the clock of the plan's runner, by which changes are dated. */
  runnerNow: () => number;
}

export interface Judgement {
  result: Finding['result'];
  findings: Finding[];
  before: Recorded | null;
  after: Recorded | null;
  wayBack: 'proven' | 'waived' | 'unknown';
}

export class Judge {
  readonly #parts: JudgeParts;

  constructor(parts: JudgeParts) {
    this.#parts = parts;
  }

  /** Judges now if a step may be sent. Throws `OperatorError` if the collector's findings cannot be read. */
  async judge(step: PlanStep, state: PlanState): Promise<Judgement> {
    const cloud = this.#parts.cloudOf(step.target);
    return step.target.type === 'instance'
      ? this.#judgeInstance(cloud, step, state, step.target.instance_id)
      : this.#judgeShared(cloud, step, state);
  }

  /** Judges if a soak that is over was clean. */
  async judgeSoak(
    step: PlanStep,
    changedMs: number,
  ): Promise<{ result: 'pass' | 'wait' | 'roll_back'; findings: Finding[] }> {
    const cloud = this.#parts.cloudOf(step.target);
    const { target } = step;
    const counts =
      target.type === 'instance' ? await this.#counts(cloud, target.instance_id, changedMs) : null;
    const findings = askAll(SOAK_GUARDS, { ...(await this.#witnesses(cloud)), counts });
    const result = sumUp(findings);
    return { result: result === 'refuse' ? 'roll_back' : result === 'wait' ? 'wait' : 'pass', findings };
  }

  async #judgeInstance(cloud: Cloud, step: PlanStep, state: PlanState, id: string): Promise<Judgement> {
    const { plan, findings, now } = this.#parts;
    const [finding] = await findings.hosts([id]);
    const described = await cloud.describeInstances([id]);
    const describedMs = now();
    const found = described.ok ? (described.value.find(({ instanceId }) => instanceId === id) ?? null) : null;
    const before: Recorded | null = found === null ? null : { type: 'instance', options: found.options };
    const after = before === null ? null : valuesAfter(step, before, null);
    const own = state.steps[step.id]!;
    const facts: InstanceFacts = {
      ...(await this.#stepFacts(cloud, step, before, after)),
      nowMs: now(),
      description: described.ok ? { ok: true, value: found } : described,
      describedMs,
      finding: finding ?? null,
      group: scalingGroupOf(step.group) === null ? null : await findings.group(step.group, step.target),
      counts: await this.#counts(cloud, id, now() - COUNTED_MS),
      atRisk: new Progress(plan, state).atRisk(step.group) - (own.isWritten ? 1 : 0),
      allowedAtRisk: allowedAtRisk(plan, step.group),
    };
    return concluded(askAll(INSTANCE_GUARDS, facts), facts, before, after);
  }

  async #judgeShared(cloud: Cloud, step: PlanStep, state: PlanState): Promise<Judgement> {
    const { findings } = this.#parts;
    const { target } = step;
    const templateId = 'template_id' in target ? target.template_id : null;
    const template = templateId === null ? null : await cloud.describeTemplate(templateId);
    const made = 'created_by' in target ? madeVersion(state, target.created_by) : null;
    const versionNumber = target.type === 'template' ? target.source_version : made;
    const version =
      templateId === null || versionNumber === null
        ? null
        : await cloud.describeTemplateVersion(templateId, versionNumber);
    const read = await readTarget(cloud, step);
    let before = read.ok ? read.value.current : null;
    // A new version is made of the version that the plan names, which need not be the latest one.
    if (before?.type === 'template' && version?.ok === true) {
      const { options, restSha256 } = version.value;
      before = { ...before, version: version.value.version, options, rest_sha256: restSha256 };
    }
    const after = before === null ? null : valuesAfter(step, before, made);
    const groupIds = this.#groupsOf(step);
    const hosts = await findings.hosts(null);
    const facts: SharedFacts = {
      ...(await this.#stepFacts(cloud, step, before, after)),
      template,
      version,
      groups: await Promise.all(
        groupIds.map(async (id) => ({ id, finding: await findings.group(id, target) })),
      ),
      memberTags: hosts.flatMap(({ tags }) => (groupIds.includes(ownGroup(tags, target)) ? [tags] : [])),
    };
    return concluded(askAll(SHARED_GUARDS, facts), facts, before, after);
  }

  /** Returns the groups that a change concerns; an account's default concerns all of the plan that are there. */
  #groupsOf({ target, group }: PlanStep): string[] {
    if (target.type === 'template') return target.groups;
    if (target.type !== 'account_default') return [group];
    const there = this.#parts.plan.steps.filter(
      (step) => step.target.account === target.account && step.target.region === target.region,
    );
    return [
      ...new Set(there.flatMap((step) => (step.target.type === 'account_default' ? [] : [step.group]))),
    ];
  }

  async #stepFacts(
    cloud: Cloud,
    step: PlanStep,
    before: Recorded | null,
    after: Recorded | null,
  ): Promise<StepFacts> {
    const { plan, otherPlans, findings, now } = this.#parts;
    const planId = plan.id;
    const isDryRun = step.target.type !== 'group_version';
    const isEndpointOn = before !== null && isServiceOn(before);
    const canAsk = before !== null && after !== null && isDryRun;
    return {
      plan,
      step,
      nowMs: now(),
      callerAccount: await cloud.callerAccount(),
      accountDefaults: await cloud.accountDefaults(),
      forward: canAsk ? await sendChange(cloud, step, { before, after }, { planId, dryRun: true }) : null,
      back: canAsk
        ? await sendBack(cloud, step, before, { planId, attempt: 0, isEndpointOn, dryRun: true })
        : null,
      otherPlans: [...otherPlans(step.target), ...(await findings.otherPlans(plan.id, step.target))],
      refreshes: await this.#refreshes(cloud, step),
      ...(await this.#witnesses(cloud)),
    };
  }

  async #refreshes(cloud: Cloud, step: PlanStep): Promise<StepFacts['refreshes']> {
    const found: { group: string; status: string }[] = [];
    for (const group of this.#groupsOf(step).flatMap((id) => scalingGroupOf(id) ?? [])) {
      const status = await cloud.instanceRefresh(group);
      if (!status.ok) return status;
      if (status.value !== null) found.push({ group, status: status.value });
    }
    return { ok: true, value: found };
  }

  /** EC2 has answered before, so that the difference of its clock is known. */
  async #witnesses(cloud: Cloud): Promise<WitnessFacts> {
    const { now, runnerNow, plan } = this.#parts;
    const { alarms, probe } = plan.policy;
    return {
      clockAheadMs: now() + cloud.clockAheadMs() - runnerNow(),
      alarmsNotGreen: alarms.length === 0 ? { ok: true, value: [] } : await cloud.alarmsNotGreen(alarms),
      probe: probe === null ? null : await this.#parts.probe(probe),
    };
  }

  async #counts(cloud: Cloud, id: string, sinceMs: number): Promise<InstanceFacts['counts']> {
    const span = {
      sinceMs: Math.floor(sinceMs / MINUTE_MS) * MINUTE_MS,
      untilMs: Math.ceil(this.#parts.now() / MINUTE_MS) * MINUTE_MS,
    };
    const counts = await cloud.noTokenCounts([id], span);
    return counts.ok
      ? { ok: true, value: counts.value.find(({ instanceId }) => instanceId === id) ?? null }
      : counts;
  }
}

function concluded(
  findings: Finding[],
  facts: StepFacts,
  before: Recorded | null,
  after: Recorded | null,
): Judgement {
  const result = sumUp(findings);
  // Values that were not read cannot be given back.
  const isKnown = before !== null && after !== null;
  const unread: Finding = { guard: 'value', result: 'wait', text: 'The present values could not be read.' };
  return {
    result: result === 'pass' && !isKnown ? 'wait' : result,
    findings: result === 'pass' && !isKnown ? [...findings, unread] : findings,
    before,
    after,
    wayBack: wayBackOf(facts),
  };
}

/** Returns the number of the version that a step has made; null before that. */
export function madeVersion(state: PlanState, stepId: string): number | null {
  const made = state.steps[stepId];
  return made?.isWritten === true && made.after?.type === 'template' ? made.after.version : null;
}
