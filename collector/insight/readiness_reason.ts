/** Explains a verdict in a few short sentences: the reason, and what to do next. */
import type { GapReason, Readiness } from '../contract/host.ts';
import type { StoredGap } from '../store/store.ts';
import { isNeverTolerated, missingOf, type Watched } from './coverage_gaps.ts';
import type { HopLimitVerdict } from './hop_limit.ts';
import type { Judged } from './judged.ts';

const GAP_TEXTS: Record<GapReason, string> = {
  not_yet_watched: 'before its first report',
  agent_not_running: 'the agent did not run',
  boot: 'between shutdown and the first report after a boot',
  capture_not_live: 'the capture was not live',
  losses: 'packets or records were lost',
  no_report: 'no recent report',
  cloud_saw_more: 'the cloud counted calls that the agent did not see',
  not_kept: 'the host sent invalid records, or more than the collector keeps for one host',
};
const MAX_REASONS = 3;
const MAX_NAMES = 3;

interface Context {
  /** Titles of the workloads with IMDSv1 calls, worst first. */
  offenders: readonly string[];
  /** Titles of the workloads whose tokens are refused. */
  staleTokens: readonly string[];
  /** Titles of the workloads with IMDSv1 calls that took a token on other hosts, where they were refused. */
  adaptElsewhere: readonly string[];
  toleranceUs: number;
  account: string | null;
  hopLimit: HopLimitVerdict;
  limits: Readiness['limits'];
}

export function readinessReason(judged: Judged, context: Context): string {
  const { verdict, calls } = judged;
  const sentences = [verdictReason(judged, context)];
  if (calls.refusedTokens > 0) sentences.push(staleTokenReason(calls.refusedTokens, context.staleTokens));
  if ((verdict === 'ready' || verdict === 'enforced') && calls.adaptedV1 > 0) {
    sentences.push(
      `${plural(calls.adaptedV1, 'call')} without a token ${wasOrWere(calls.adaptedV1)} refused with 401, and the same client then took a token and succeeded: nothing breaks.`,
    );
  }
  if ((verdict === 'ready' || verdict === 'enforced') && calls.otherCloud > 0) {
    sentences.push(
      `${plural(calls.otherCloud, 'request')} looked for another cloud, which is no use of EC2's service.`,
    );
  }
  if ((verdict === 'ready' || verdict === 'enforced') && calls.answeredByHost > 0) {
    sentences.push(
      `Programs on this host answered ${plural(calls.answeredByHost, 'call')} without a token, and none of their packets left for the service: nothing breaks.`,
    );
  }
  return sentences.join(' ');
}

function staleTokenReason(count: number, titles: readonly string[]): string {
  const names = listNames(titles);
  return `${plural(count, 'call')} with a token ${wasOrWere(count)} refused with 401${names === '' ? '' : ` (${names})`}: its token is refused, because it is stale or wrong. Fix that as well.`;
}

function verdictReason(
  { verdict, calls, watched, cloud, unseenRefusals, startSeen }: Judged,
  context: Context,
): string {
  const names = listNames(context.offenders);
  const inBrackets = names === '' ? '' : ` (${names})`;
  switch (verdict) {
    case 'rejected': {
      const next =
        calls.fallbackUnanswered > 0
          ? `Token requests got no answer. ${againstNoAnswer(context.hopLimit)}`
          : `Fix ${names === '' ? 'the programs that make these calls' : names}.`;
      return `Tokens are required already, and ${plural(calls.rejectedV1, 'call')} without a token ${wasOrWere(calls.rejectedV1)} refused with 401. Something on this host is broken. ${next}`;
    }
    case 'blocked': {
      const callers = names === '' ? '' : ` Callers: ${names}.`;
      const adapting = listNames(context.adaptElsewhere);
      const elsewhere =
        adapting === ''
          ? ''
          : ` On other hosts, where tokens are required, ${adapting} took a token after a 401 and succeeded.`;
      return `${plural(calls.plainV1, 'call')} without a token would fail if tokens were required.${callers}${elsewhere} Follow the advice for each workload, and leave HttpTokens unchanged until then.`;
    }
    case 'fallback': {
      const made = `${plural(calls.v1, 'call')} without a token ${wasOrWere(calls.v1)} made after a token request`;
      return calls.fallbackUnanswered > 0
        ? `${made} that got no answer${inBrackets}. ${againstNoAnswer(context.hopLimit)}`
        : `${made} that was refused${inBrackets}. Find out first what refuses token requests.`;
    }
    case 'enforced':
      return enforcedReason(calls.refusedTokens > 0, startSeen);
    case 'ready':
      return readyReason(watched.missingUs, startSeen, context);
    case 'unproven':
      return unprovenReason(watched, cloud?.unseen ?? 0, unseenRefusals, context.toleranceUs);
  }
}

const NOTHING_FAILS = 'No call without a token that would fail was seen';
const NO_START = 'No start of this host was seen in the window, so this proves the running state only';

function enforcedReason(isTokenRefused: boolean, startSeen: boolean): string {
  const seen = 'The cloud reports that tokens are required, and no call without a token failed.';
  if (!startSeen) return `${seen} ${NO_START}: what runs at boot can still call without a token and fail.`;
  return isTokenRefused ? seen : `${seen} Nothing is left to do.`;
}

function againstNoAnswer(hopLimit: HopLimitVerdict): string {
  switch (hopLimit.action) {
    case 'raise':
      return `Raise the hop limit to ${hopLimit.hopLimit} first.`;
    case 'enough':
      return 'The hop limit is enough: find out first what drops the answers.';
    case 'measure':
      return 'Find out first how far the callers are from the service: the advice for each says how.';
  }
}

function readyReason(
  missingUs: number,
  startSeen: boolean,
  { toleranceUs, account, limits }: Context,
): string {
  const coverage =
    missingUs === 0
      ? 'The host was watched without a gap'
      : `The host was watched except for ${duration(missingUs)} (${tolerance(toleranceUs)})`;
  const credentials = account === null ? '' : `, with credentials of account ${account}`;
  const restrictions = limits.map(({ text }) => ` ${text}`).join('');
  const seen = `${coverage}, and no call without a token was seen that would fail.`;
  if (startSeen) return `${seen} Require tokens now${credentials}.${restrictions}`;
  return `${seen} ${NO_START}: what runs at boot can still call without a token. Tokens can be required for what runs on this instance now${credentials}. Watch a start before you require them by a launch template or an image.${restrictions}`;
}

function unprovenReason(
  { gaps, missingUs }: Watched,
  unseen: number,
  unseenRefusals: number,
  toleranceUs: number,
): string {
  const also = unwatchedText(gaps);
  if (unseen > 0) {
    return `The cloud counted ${plural(unseen, 'call')} without a token that the agent did not see. Find the cause before you require tokens: look at the losses, and for network namespaces or interfaces that are not watched.${also}`;
  }
  if (unseenRefusals > 0) {
    return `The cloud counted ${plural(unseenRefusals, 'refused call')} without a token that the agent did not see. Find out which program makes them.${also}`;
  }
  const missingByReason = new Map<GapReason, number>();
  for (const gap of gaps) {
    missingByReason.set(gap.reason, (missingByReason.get(gap.reason) ?? 0) + missingOf(gap));
  }
  // A short loss decides the verdict, however long the tolerated gaps beside it are.
  const reasons = [...missingByReason]
    .sort((a, b) => Number(isNeverTolerated(b[0])) - Number(isNeverTolerated(a[0])) || b[1] - a[1])
    .slice(0, MAX_REASONS)
    .map(([reason, us]) => `${GAP_TEXTS[reason]} (${duration(us)})`);
  const isLoss = [...missingByReason.keys()].some(isNeverTolerated);
  const next = isLoss
    ? "Mend the cause that the gap's detail names, and keep the agent running."
    : 'Keep the agent running.';
  return `${NOTHING_FAILS}, but the host was not watched for ${duration(missingUs)} of the window (${tolerance(toleranceUs)}): ${reasons.join('; ')}. ${next}`;
}

/** Returns a sentence about the time that was not watched, besides what the cloud counted; empty without any. */
function unwatchedText(gaps: readonly StoredGap[]): string {
  const others = gaps.filter(({ reason }) => reason !== 'cloud_saw_more');
  if (others.length === 0) return '';
  const us = others.reduce((sum, gap) => sum + missingOf(gap), 0);
  const names = [...new Set(others.map(({ reason }) => GAP_TEXTS[reason]))];
  return ` There are other gaps as well (${duration(us)}): ${names.join('; ')}.`;
}

function listNames(titles: readonly string[]): string {
  const more = titles.length - MAX_NAMES;
  return `${titles.slice(0, MAX_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function wasOrWere(count: number): string {
  return count === 1 ? 'was' : 'were';
}

function tolerance(us: number): string {
  return `up to ${duration(us)} is tolerated, losses and invalid records never are`;
}

function duration(us: number): string {
  const seconds = us / 1e6;
  if (seconds < 120) return `${Math.ceil(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}
