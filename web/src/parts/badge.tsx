/**
 * Severities, verdicts and states. Each has a colour, a shape and a word, so that any of the three is enough.
 */

import type { GapReason, Host, Verdict } from '../../../collector/contract/host.ts';
import type { Severity } from '../../../collector/contract/offender.ts';
import './badge.css';

export type Tone = 'critical' | 'high' | 'medium' | 'violet' | 'good' | 'sealed' | 'neutral';

interface Look {
  label: string;
  tone: Tone;
  /** An SVG path in a box of 12 × 12. */
  shape: string;
  filled: boolean;
  meaning: string;
}

interface VerdictLook extends Look {
  /** A few words beside the label. */
  short: string;
}

const DIAMOND = 'M6 .5 11.500 6 6 11.500.5 6z';
const TRIANGLE = 'M6 1 11.500 11H.5z';
const OCTAGON = 'M3.800.7h4.400l3.100 3.100v4.400l-3.100 3.100H3.800L.7 8.200V3.800z';
const CROSSED = 'M6 1a5 5 0 1 0 .01 0M4 4l4 4M8 4 4 8';
const RETURN = 'M4.500 1.500 1.500 4.500l3 3M1.500 4.500H8a2.800 2.800 0 0 1 0 6H5';
const BARRED = 'M6 1a5 5 0 1 0 .01 0M2.800 9.200l6.400-6.400';
const CHECKED = 'M6 1a5 5 0 1 0 .01 0M3.700 6.200l1.600 1.600 3-3.400';
const SHIELD =
  'M6 .8 10.700 2.500v3.300c0 2.700-1.900 4.500-4.700 5.500-2.800-1-4.700-2.800-4.700-5.500V2.500z';
const DASHED =
  'M3.300 1.800A5 5 0 0 0 1.300 4.500M1.100 7.200a5 5 0 0 0 1.900 2.800M5.200 11a5 5 0 0 0 3.300-.6M10.300 8.700A5 5 0 0 0 11 5.500M9.900 2.900A5 5 0 0 0 6.300 1';

export const SEVERITY: Record<Severity, Look> = {
  credentials: {
    label: 'Credentials',
    tone: 'critical',
    shape: DIAMOND,
    filled: true,
    meaning: 'Role credentials were returned over IMDSv1. An attacker could steal them through an SSRF bug.',
  },
  v1: {
    label: 'IMDSv1',
    tone: 'high',
    shape: TRIANGLE,
    filled: true,
    meaning: 'The metadata service answered IMDSv1 calls.',
  },
  fallback: {
    label: 'Fallback',
    tone: 'medium',
    shape: RETURN,
    filled: false,
    meaning: 'It supports IMDSv2, but its token requests failed, so it fell back to IMDSv1.',
  },
  rejected: {
    label: 'Rejected',
    tone: 'violet',
    shape: CROSSED,
    filled: false,
    meaning:
      'All its IMDSv1 calls were rejected with 401, because tokens are required. The workload may be broken.',
  },
  stale_token: {
    label: 'Stale token',
    tone: 'medium',
    shape: CROSSED,
    filled: false,
    meaning: 'Its calls with a token were refused with 401: the token is stale or wrong.',
  },
  blocked: {
    label: 'Blocked',
    tone: 'neutral',
    shape: BARRED,
    filled: false,
    meaning: 'A local firewall rule stopped its calls. Their IMDS version is not known.',
  },
  adapts: {
    label: 'Adapts',
    tone: 'good',
    shape: RETURN,
    filled: false,
    meaning: 'It calls without a token first, and takes one when it is refused: nothing breaks.',
  },
  none: {
    label: 'IMDSv2 only',
    tone: 'good',
    shape: CHECKED,
    filled: false,
    meaning: 'Only IMDSv2 calls were seen.',
  },
};

export const VERDICT: Record<Verdict, VerdictLook> = {
  blocked: {
    label: 'Blocked',
    tone: 'high',
    shape: OCTAGON,
    filled: true,
    short: 'a workload calls IMDSv1',
    meaning: 'Workloads call IMDSv1. They would break if tokens were required.',
  },
  rejected: {
    label: 'Rejected',
    tone: 'violet',
    shape: CROSSED,
    filled: false,
    short: 'enforced, but calls get 401',
    meaning: 'Tokens are required already, but a workload still calls without one and gets 401.',
  },
  fallback: {
    label: 'Fallback',
    tone: 'medium',
    shape: RETURN,
    filled: false,
    short: 'token requests fail: see the advice',
    meaning:
      'All IMDSv1 calls are fallbacks of workloads that support IMDSv2. Find out first why their token requests fail.',
  },
  unproven: {
    label: 'Unproven',
    tone: 'neutral',
    shape: DASHED,
    filled: false,
    short: 'not watched all the time',
    meaning: 'No IMDSv1 call was seen, but the host was not watched all the time.',
  },
  ready: {
    label: 'Ready',
    tone: 'good',
    shape: CHECKED,
    filled: false,
    short: 'proven safe to enforce',
    meaning:
      'The host was watched all the time and no workload called IMDSv1. It is safe to require tokens for what was seen: see whether a start of the host was.',
  },
  enforced: {
    label: 'Enforced',
    tone: 'sealed',
    shape: SHIELD,
    filled: true,
    short: 'nothing left to do',
    meaning: 'Tokens are required, and no workload called without one.',
  },
};

export const GAP: Record<GapReason, string> = {
  not_yet_watched: 'Not yet watched',
  agent_not_running: 'Agent not running',
  boot: 'Boot',
  capture_not_live: 'Capture not live',
  losses: 'Losses',
  no_report: 'No report',
  cloud_saw_more: 'Cloud counted more',
  not_kept: 'Reported but not stored',
};

export const severities = Object.keys(SEVERITY) as Severity[];
export const verdicts = Object.keys(VERDICT) as Verdict[];

export function Shape({ look }: { look: Pick<Look, 'shape' | 'filled'> }) {
  return (
    <svg
      class={`shape${look.filled ? ' filled' : ''}`}
      viewBox="0 0 12 12"
      aria-hidden="true"
      focusable="false"
    >
      <path d={look.shape} />
    </svg>
  );
}

function Badge({ look }: { look: Look }) {
  return (
    <span class={`badge tone-${look.tone}`} title={look.meaning}>
      <Shape look={look} />
      {look.label}
    </span>
  );
}

export function SeverityBadge({ severity }: { severity: Severity }) {
  return <Badge look={SEVERITY[severity]} />;
}

export function VerdictBadge({ verdict }: { verdict: Verdict }) {
  return <Badge look={VERDICT[verdict]} />;
}

/** Marks a good verdict on a host of which no start was seen. */
export function RunningOnly({ host }: { host: Pick<Host, 'verdict' | 'start_seen'> }) {
  const isGood = host.verdict === 'ready' || host.verdict === 'enforced';
  if (!isGood || host.start_seen) return null;
  return (
    <Tag title="No start of the host was seen in the window: what runs at boot is not proven.">
      running state
    </Tag>
  );
}

/** A badge for any other short state. */
export function Tag({
  tone = 'neutral',
  children,
  title,
}: {
  tone?: Tone;
  children: string;
  title?: string;
}) {
  return (
    <span class={`badge plain tone-${tone}`} title={title}>
      {children}
    </span>
  );
}
