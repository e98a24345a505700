/** Reads and changes a step's target in the cloud: one function for each kind of call, whatever the target is. */
import type { Cloud, CloudError, InstanceDescription, Outcome } from '../cloud.ts';
import type { PlanStep, Recorded } from '../plan.ts';
import { changeBack } from '../state/values.ts';

/** `current` null: the target does not exist any more. */
export interface TargetRead {
  current: Recorded | null;
  isPending: boolean;
}

/** `after` replaces the expected values where only the answer shows them. */
export type ChangeAnswer = Outcome<{ after: Recorded | null }>;

const MADE_BY = 'imdswatch enforce';

/** Reads the targets of steps, by their ids: all instances in one call. All are of the cloud's account and region. */
export async function readTargets(
  cloud: Cloud,
  steps: readonly PlanStep[],
): Promise<Map<string, Outcome<TargetRead>>> {
  const instances = steps.flatMap(({ target }) => (target.type === 'instance' ? [target.instance_id] : []));
  const described = instances.length === 0 ? null : await cloud.describeInstances(instances);
  const reads = new Map<string, Outcome<TargetRead>>();
  for (const step of steps) {
    const { target } = step;
    const read =
      target.type === 'instance' && described !== null
        ? instanceRead(described, target.instance_id)
        : await readTarget(cloud, step);
    reads.set(step.id, read);
  }
  return reads;
}

function instanceRead(described: Outcome<InstanceDescription[]>, id: string): Outcome<TargetRead> {
  if (!described.ok) return described;
  const found = described.value.find(({ instanceId }) => instanceId === id);
  if (found === undefined || found.state === 'terminated') return done({ current: null, isPending: false });
  const current: Recorded = { type: 'instance', options: found.options };
  return done({ current, isPending: found.optionsState === 'pending' });
}

export async function readTarget(cloud: Cloud, { target }: PlanStep): Promise<Outcome<TargetRead>> {
  switch (target.type) {
    case 'instance':
      return instanceRead(await cloud.describeInstances([target.instance_id]), target.instance_id);
    case 'template': {
      const template = await cloud.describeTemplate(target.template_id);
      if (!template.ok) return isGone(template) ? done({ current: null, isPending: false }) : template;
      const { latestVersion, defaultVersion } = template.value;
      const version = await cloud.describeTemplateVersion(target.template_id, latestVersion);
      if (!version.ok) return version;
      const current: Recorded = {
        type: 'template',
        version: latestVersion,
        options: version.value.options,
        rest_sha256: version.value.restSha256,
        default_version: defaultVersion,
        latest_version: latestVersion,
      };
      return done({ current, isPending: false });
    }
    case 'template_default': {
      const template = await cloud.describeTemplate(target.template_id);
      if (!template.ok) return isGone(template) ? done({ current: null, isPending: false }) : template;
      return done({
        current: { type: 'template_default', version: template.value.defaultVersion },
        isPending: false,
      });
    }
    case 'group_version': {
      const group = await cloud.scalingGroup(target.scaling_group);
      if (!group.ok) return group;
      const template = group.value?.template ?? null;
      if (template === null) return done({ current: null, isPending: false });
      return done({ current: { type: 'group_version', reference: template.reference }, isPending: false });
    }
    case 'account_default': {
      const defaults = await cloud.accountDefaults();
      if (!defaults.ok) return defaults;
      return done({ current: { type: 'account_default', defaults: defaults.value }, isPending: false });
    }
  }
}

/** Sends the change, or asks if it is permitted. `planId` makes a repeated new version of a template harmless. */
export function sendChange(
  cloud: Cloud,
  step: PlanStep,
  { before, after }: { before: Recorded; after: Recorded },
  { planId, dryRun }: { planId: string; dryRun: boolean },
): Promise<ChangeAnswer> {
  return sendValues(
    cloud,
    step,
    { change: step.change, before, values: after },
    { dryRun, clientToken: `${planId}-${step.id}`, isEndpointOn: isServiceOn(before) },
  );
}

/**
 * Sends the recorded values, or asks if that is permitted. `attempt`: each one of a template makes a version.
 * `isEndpointOn`: the instance was described last with its metadata service on. Somebody may have turned it off since.
 */
export function sendBack(
  cloud: Cloud,
  step: PlanStep,
  before: Recorded,
  {
    planId,
    attempt,
    isEndpointOn,
    dryRun,
  }: { planId: string; attempt: number; isEndpointOn: boolean; dryRun: boolean },
): Promise<ChangeAnswer> {
  const clientToken = `${planId}-${step.id}-back-${attempt}`;
  const change = changeBack(step, before);
  return sendValues(cloud, step, { change, before, values: before }, { dryRun, clientToken, isEndpointOn });
}

async function sendValues(
  cloud: Cloud,
  { target }: PlanStep,
  { change, before, values }: { change: PlanStep['change']; before: Recorded; values: Recorded },
  { dryRun, clientToken, isEndpointOn }: { dryRun: boolean; clientToken: string; isEndpointOn: boolean },
): Promise<ChangeAnswer> {
  switch (target.type) {
    case 'instance': {
      // Sent to an instance whose endpoint is off, `enabled` would turn its metadata on.
      const options = { dryRun, isEndpointEnabled: isEndpointOn };
      return known(await cloud.modifyInstance(target.instance_id, change, options));
    }
    case 'template': {
      if (values.type !== 'template' || before.type !== 'template') return mismatch(target.type);
      const { template_id: templateId } = target;
      const description = MADE_BY;
      const version = {
        templateId,
        sourceVersion: before.version,
        options: values.options,
        clientToken,
        description,
      };
      const made = await cloud.createTemplateVersion(version, { dryRun });
      if (!made.ok) return made;
      const number = made.value;
      return done({ after: number === null ? null : { ...values, version: number, latest_version: number } });
    }
    case 'template_default':
      if (values.type !== 'template_default') return mismatch(target.type);
      return known(await cloud.setDefaultVersion(target.template_id, values.version, { dryRun }));
    case 'group_version':
      if (values.type !== 'group_version' || dryRun) return mismatch(target.type);
      return known(await cloud.setGroupVersion(target.scaling_group, target.template_id, values.reference));
    case 'account_default':
      if (values.type !== 'account_default') return mismatch(target.type);
      return known(await cloud.setAccountTokens(values.defaults.http_tokens, { dryRun }));
  }
}

export function isServiceOn(described: Recorded): boolean {
  return described.type === 'instance' && described.options.http_endpoint === 'enabled';
}

function done<T>(value: T): { ok: true; value: T } {
  return { ok: true, value };
}

/** Drops the answer's own values: what is in force is read back. */
function known(outcome: Outcome<unknown>): ChangeAnswer {
  return outcome.ok ? done({ after: null }) : outcome;
}

function isGone(outcome: { ok: false; error: CloudError }): boolean {
  return outcome.error.kind === 'not_found';
}

function mismatch(type: string): ChangeAnswer {
  const message = `The plan has no values for a target of type ${type}.`;
  return { ok: false, error: { kind: 'other', code: 'NoValues', message } };
}
