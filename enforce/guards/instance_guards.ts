/** Guards of a step that changes one instance. Pure. */
import { errorText } from '../cloud_message.ts';
import { isBlocking } from '../planning/choice.ts';
import { requiresTokens } from '../state/step_state.ts';
import { COMMON_GUARDS } from './common_guards.ts';
import type { InstanceFacts } from './facts.ts';
import { type Answer, type Guard, pass, refuse, skip, wait } from './guard.ts';
import { ownerOfInstance } from './owner.ts';

/** A description that is older does not count. */
const FRESH_MS = 60_000;

export const INSTANCE_GUARDS: readonly Guard<InstanceFacts>[] = [
  {
    name: 'description',
    checks: 'the instance was described just now, exists and runs',
    judge: judgeDescription,
  },
  { name: 'value', checks: 'the change is still needed, and its present value is known', judge: judgeValue },
  {
    name: 'verdict',
    checks: "the collector's verdict, judged again now, allows the change",
    judge: judgeVerdict,
  },
  {
    name: 'group_verdict',
    checks: 'no member of its Auto Scaling group stands in the way, also none that is gone',
    judge: judgeGroup,
  },
  { name: 'endpoint', checks: 'the metadata service is enabled', judge: judgeEndpoint },
  { name: 'owner', checks: 'no other service or stack owns the instance', judge: judgeOwner },
  { name: 'excluded', checks: 'the instance has no tag that the plan excludes', judge: judgeExcluded },
  { name: 'agent', checks: "the host's agent reports, and its capture is live", judge: judgeAgent },
  {
    name: 'cloud_count',
    checks: 'CloudWatch counted no call without a token in the last hours',
    judge: judgeCount,
  },
  { name: 'hops', checks: 'the hop limit reaches every caller that was measured', judge: judgeHops },
  { name: 'share', checks: 'no more than the allowed share of the group is unconfirmed', judge: judgeShare },
  ...COMMON_GUARDS,
];

function judgeDescription({ description, describedMs, nowMs }: InstanceFacts): Answer {
  if (!description.ok) return wait(`The instance cannot be described: ${errorText(description.error)}`);
  if (description.value === null) return skip('The instance does not exist any more.');
  if (nowMs - describedMs > FRESH_MS) return wait('The description of the instance is older than a minute.');
  const { state } = description.value;
  if (state === 'running') return pass('The instance runs.');
  if (state === 'terminated' || state === 'shutting-down') return skip(`The instance is ${state}.`);
  return wait(`The instance is ${state}. A change proves nothing before its programs run.`);
}

function judgeValue({ step, description }: InstanceFacts): Answer {
  if (!description.ok || description.value === null) return wait('The present values are not known.');
  const { options, optionsState } = description.value;
  const { http_tokens, hop_limit } = step.change;
  const isTokensSet = http_tokens === undefined || options.http_tokens === http_tokens;
  const isHopLimitSet = hop_limit === undefined || (options.hop_limit ?? 0) >= hop_limit;
  if (isTokensSet && isHopLimitSet) return skip('It has the planned value already.');
  if (optionsState === 'pending') return wait('An earlier change of the instance is still pending.');
  if (http_tokens !== undefined && options.http_tokens === null) {
    return wait('AWS does not say whether tokens are required now, so it could not be undone.');
  }
  if (hop_limit !== undefined && options.hop_limit === null) {
    return wait('AWS does not say which hop limit there is now, so it could not be undone.');
  }
  return pass('The change is needed.');
}

function judgeVerdict(facts: InstanceFacts): Answer {
  const { plan, step, finding } = facts;
  const override = plan.policy.unproven_host_reason;
  if (finding === null) {
    return refuse('No agent of this host has ever reported. Install one, or leave the host out.');
  }
  const { verdict, reason } = finding;
  if (verdict === 'ready') return pass(reason);
  if (!requiresTokens(step)) {
    return verdict === 'fallback'
      ? pass(reason)
      : refuse(`The verdict is ${verdict}, which allows no change of the hop limit. ${reason}`);
  }
  if (verdict === 'enforced') return pass(reason);
  if ((verdict === 'blocked' || verdict === 'unproven') && override !== null && isSingle(facts)) {
    return pass(`The verdict is ${verdict}. The operator goes on with this one host: ${override}`);
  }
  return refuse(`The verdict is ${verdict}. ${reason}`);
}

function judgeGroup(facts: InstanceFacts): Answer {
  const { step, group } = facts;
  if (!requiresTokens(step)) return pass('A raised hop limit breaks nobody.');
  if (group === null) return pass('It has no Auto Scaling group that the collector knows.');
  if (isSingle(facts)) return pass('The plan is about this one host.');
  return isBlocking(group.verdict)
    ? refuse(`The group ${group.id} is ${group.verdict}. ${group.reason}`)
    : pass(`Nobody in the group ${group.id} stands in the way.`);
}

/** Returns whether the plan is about one host alone. */
function isSingle({ plan }: InstanceFacts): boolean {
  return new Set(plan.steps.map(({ target }) => JSON.stringify(target))).size === 1;
}

function judgeEndpoint({ description }: InstanceFacts): Answer {
  if (!description.ok || description.value === null) return wait('The endpoint is not known.');
  switch (description.value.options.http_endpoint) {
    case 'enabled':
      return pass('The metadata service is enabled.');
    case 'disabled':
      return skip('The metadata service is turned off on this instance. Nothing calls it, and it stays off.');
    case null:
      return wait('AWS does not say whether the metadata service is enabled.');
  }
}

function judgeOwner({ plan, description }: InstanceFacts): Answer {
  if (!description.ok || description.value === null) return wait('The owner is not known.');
  const owner = ownerOfInstance(description.value.owner);
  if (owner === null) return pass('No service or stack would undo the change.');
  const reason = plan.policy.owned_reason;
  if (reason !== null && !owner.isForbidden)
    return pass(`It belongs to ${owner.name}. The plan goes on: ${reason}`);
  return refuse(`It belongs to ${owner.name}. ${owner.lever}`);
}

function judgeExcluded({ plan, description }: InstanceFacts): Answer {
  if (!description.ok || description.value === null) return wait('The tags are not known.');
  const { tags } = description.value.owner;
  const found = plan.policy.exclude_tags.find((text) => {
    const at = text.indexOf('=');
    return at < 0 ? text in tags : tags[text.slice(0, at)] === text.slice(at + 1);
  });
  return found === undefined
    ? pass('No excluded tag is on it.')
    : refuse(`It has the tag ${found}, which is excluded.`);
}

function judgeAgent({ finding }: InstanceFacts): Answer {
  if (finding === null) return wait('No agent reports.');
  if (!finding.isOnline) return wait('Its agent is silent, so nobody would see a refused call.');
  return finding.isLive ? pass('Its agent watches.') : wait("Its agent's capture is not live.");
}

function judgeCount({ step, counts, finding }: InstanceFacts): Answer {
  if (!requiresTokens(step)) return pass('A raised hop limit does not depend on it.');
  if (!counts.ok) return wait(`CloudWatch cannot be asked: ${errorText(counts.error)}`);
  const accepted = counts.value?.accepted ?? null;
  if (accepted === null) return pass('CloudWatch has no figure for the last hours.');
  if (accepted === 0) return pass('CloudWatch counted no call without a token in the last hours.');
  const text = `CloudWatch counted ${accepted} calls without a token in the last hours.`;
  return finding?.verdict === 'ready'
    ? refuse(`${text} The agent saw none: something is not watched.`)
    : pass(text);
}

function judgeHops({ step, finding, description }: InstanceFacts): Answer {
  if (!requiresTokens(step) || !description.ok || description.value === null)
    return pass('It does not depend on hops.');
  const hops = finding?.hops ?? null;
  const limit = description.value.options.hop_limit;
  if (hops === null) return pass('No token request without an answer was measured.');
  if (limit === null) return wait('AWS does not say which hop limit there is.');
  // The host itself is the first hop, and every router on it is one more.
  return hops + 1 <= limit
    ? pass(`The hop limit ${limit} reaches a caller behind ${routersText(hops)}.`)
    : refuse(
        `A caller is behind ${routersText(hops)}, and the hop limit is ${limit}. Raise it to ${hops + 1} first.`,
      );
}

function judgeShare({ step, atRisk, allowedAtRisk }: InstanceFacts): Answer {
  if (!requiresTokens(step)) return pass('A raised hop limit breaks nobody.');
  return atRisk < allowedAtRisk
    ? pass(`${atRisk} of ${allowedAtRisk} allowed instances of the group are unconfirmed.`)
    : wait(`${atRisk} instances of the group are unconfirmed, which is all that is allowed at once.`);
}

function routersText(hops: number): string {
  return hops === 1 ? '1 router' : `${hops} routers`;
}
