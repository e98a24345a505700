/** A verdict in one or two sentences: why, and what to do next. */
import type { GapReason, Readiness } from '../contract/host.ts';
import type { CloudInstance, StoredGap } from '../store/store.ts';
import { missingOf } from './coverage_gaps.ts';
import type { Judged } from './judged.ts';

const GAP_WORDS: Record<GapReason, string> = {
  not_yet_watched: 'before its first report',
  agent_not_running: 'the agent did not run',
  boot: 'between shutting down and the first report after a boot',
  capture_not_live: 'the capture was not live',
  losses: 'something was lost',
  no_report: 'no report since',
  cloud_saw_more: 'the cloud counted calls that nobody saw',
  not_kept: 'the host reported more than is kept of one host, or records that are not valid',
};

interface Context {
  /** Titles, worst first. */
  offenders: readonly string[];
  toleranceUs: number;
  cloudInstance: CloudInstance | null;
  account: string | null;
  limits: Readiness['limits'];
}

export function readinessReason({ verdict, calls, watched, cloud }: Judged, context: Context): string {
  const named = nameSome(context.offenders);
  switch (verdict) {
    case 'rejected': {
      const cause =
        calls.fallbackUnanswered > 0
          ? ' Token requests got no answer: raise the hop limit.'
          : ` Mend ${named === '' ? 'who calls' : named}.`;
      return `Calls without a token are refused with 401 (${calls.rejectedV1} in the window): tokens are required, and something is broken.${cause}`;
    }
    case 'blocked':
      return `${plural(calls.plainV1, 'call')} without a token would break${named === '' ? '' : `, by ${named}`}. Follow the advice for each; until then leave HttpTokens as it is.`;
    case 'fallback':
      return calls.fallbackUnanswered > 0
        ? `${plural(calls.v1, 'call')} without a token, each after a token request that got no answer${named === '' ? '' : ` (${named})`}: raise the hop limit first.`
        : `${plural(calls.v1, 'call')} without a token, each after a token request that was refused${named === '' ? '' : ` (${named})`}: find out who refuses it first.`;
    case 'enforced':
      return 'The cloud says that tokens are required, and nobody was seen trying without: nothing is left to do.';
    case 'ready':
      return readyReason(watched.missingUs, context);
    case 'unproven':
      return unprovenReason(watched.gaps, watched.missingUs, cloud?.unseen ?? 0, context.toleranceUs);
  }
}

function readyReason(missingUs: number, { toleranceUs, account, limits }: Context): string {
  const covered =
    missingUs === 0
      ? 'Watched without a gap'
      : `Watched but for ${seconds(missingUs)} (${seconds(toleranceUs)} are tolerated, losses never are)`;
  const where = account === null ? '' : ` with credentials of account ${account}`;
  return `${covered}, and nobody called without a token: require tokens now${where}.${limits.map(({ text }) => ` ${text}`).join('')}`;
}

function unprovenReason(
  gaps: readonly StoredGap[],
  missingUs: number,
  unseen: number,
  toleranceUs: number,
): string {
  if (unseen > 0) {
    return `The cloud counted ${plural(unseen, 'call')} without a token that nobody saw. Find out why before tokens are required: look at the losses, and for namespaces or interfaces that are not watched.`;
  }
  if (gaps.length === 0) {
    return 'The cloud counted refused calls without a token, and nobody was seen making them. Find out who does.';
  }
  const secondsOf = new Map<GapReason, number>();
  for (const gap of gaps) secondsOf.set(gap.reason, (secondsOf.get(gap.reason) ?? 0) + missingOf(gap));
  const reasons = [...secondsOf]
    .sort((a, b) => b[1] - a[1])
    .slice(0, 3)
    .map(([reason, us]) => `${GAP_WORDS[reason]} (${seconds(us)})`);
  return `Nobody was seen calling without a token, and ${seconds(missingUs)} of the window were not watched (${seconds(toleranceUs)} are tolerated, losses never are): ${reasons.join('; ')}. Keep the agent running.`;
}

function nameSome(titles: readonly string[]): string {
  const more = titles.length - 3;
  return `${titles.slice(0, 3).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function seconds(us: number): string {
  const whole = us / 1e6;
  if (whole < 120) return `${Math.ceil(whole)} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  return whole < 172_800 ? `${Math.round(whole / 3600)} h` : `${Math.round(whole / 86_400)} days`;
}
