/** Guards of steps that many instances share: templates, their default, a group's version, an account's default. Pure. */
import { errorText } from '../cloud_message.ts';
import { COMMON_GUARDS } from './common_guards.ts';
import type { SharedFacts } from './facts.ts';
import { type Answer, type Guard, pass, refuse, skip, wait } from './guard.ts';
import { ownerOfTemplate } from './owner.ts';

export const SHARED_GUARDS: readonly Guard<SharedFacts>[] = [
  { name: 'value', checks: 'the change is still needed', judge: judgeValue },
  {
    name: 'group_verdict',
    checks: 'every group that the change concerns is ready or enforced',
    judge: judgeGroups,
  },
  {
    name: 'start_seen',
    checks: 'a start was seen in every group that the change concerns',
    judge: judgeStarts,
  },
  { name: 'owner', checks: 'no other service or stack owns the template', judge: judgeOwner },
  ...COMMON_GUARDS,
];

function judgeValue({ step, template, version, accountDefaults }: SharedFacts): Answer {
  if (step.target.type === 'account_default') {
    if (!accountDefaults.ok) return wait(`The defaults cannot be read: ${errorText(accountDefaults.error)}`);
    return accountDefaults.value.http_tokens === step.change.http_tokens
      ? skip('The account has this default already.')
      : pass('The change is needed.');
  }
  if (version === null) return wait('The version of the template is not known yet.');
  if (!version.ok) return wait(`The template cannot be read: ${errorText(version.error)}`);
  if (template !== null && !template.ok)
    return wait(`The template cannot be read: ${errorText(template.error)}`);
  const latest = template?.value.latestVersion ?? null;
  if (step.target.type === 'template' && step.target.goes_live && latest !== step.target.source_version) {
    return refuse(
      `Version ${latest} is newer than ${step.target.source_version}, of which the plan was made.`,
    );
  }
  const isRequired = version.value.options.http_tokens === 'required';
  if (step.target.type === 'template') {
    return isRequired
      ? skip(`Version ${version.value.version} requires tokens already.`)
      : pass('The change is needed.');
  }
  return isRequired
    ? pass(`Version ${version.value.version} requires tokens.`)
    : refuse(`Version ${version.value.version} does not require tokens.`);
}

function judgeGroups({ groups }: SharedFacts): Answer {
  if (groups.length === 0) return refuse('The plan has no group that this change is proven for.');
  for (const { id, finding } of groups) {
    if (finding === null) return refuse(`The collector has no verdict about the group ${id}.`);
    if (finding.verdict !== 'ready' && finding.verdict !== 'enforced') {
      return refuse(`The group ${id} is ${finding.verdict}. ${finding.reason}`);
    }
  }
  return pass('Every group that it concerns is ready.');
}

function judgeStarts({ groups }: SharedFacts): Answer {
  const unseen = groups.find(({ finding }) => finding?.startSeen !== true);
  return unseen === undefined
    ? pass('A start was seen in every group.')
    : refuse(
        `No start was seen in the group ${unseen.id}: what runs at boot is not proven. Let one instance start.`,
      );
}

function judgeOwner({ plan, memberTags, step }: SharedFacts): Answer {
  if (step.target.type === 'account_default') return pass('It belongs to the account.');
  const owner = ownerOfTemplate(memberTags);
  if (owner === null) return pass('No service or stack would undo the change.');
  const reason = plan.policy.owned_reason;
  if (reason !== null && !owner.isForbidden)
    return pass(`It belongs to ${owner.name}. The plan goes on: ${reason}`);
  return refuse(`It belongs to ${owner.name}. ${owner.lever}`);
}
