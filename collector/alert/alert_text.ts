/**
 * The texts of alerts. Names in them come from hosts and programs; each channel escapes them for its own
 * format.
 */
import type { AlertRule } from '../contract/alert.ts';
import type { Host } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import type { EndedTriage } from '../insight/triage_reader.ts';
import type { StoredGap } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import { type AlertDraft, firing, resolved } from './alert_draft.ts';
import { hostObject, namedObject, offenderObject } from './alert_objects.ts';

/** Subject of an alert that sums up many. */
export const SUMMARY_SUBJECT = 'summary';
const NAMES_IN_A_SUMMARY = 10;
const MAX_TITLE_CHARACTERS = 200;
const NOUNS: Record<AlertRule, string> = {
  new_offender: 'new IMDSv1 callers',
  credentials_over_v1: 'workloads fetched role credentials over IMDSv1',
  host_not_ready: 'hosts are not ready any more',
  host_silent: 'hosts are silent',
  coverage_lost: 'hosts whose capture lost packets or records, or was not live',
  group_ready: 'Auto Scaling groups are ready',
  group_not_ready: 'Auto Scaling groups are not ready any more',
  offender_reopened: 'workloads that were fixed call IMDSv1 again',
  exception_ended: 'exceptions have ended',
  enforcement_undone: 'hosts do not require tokens any more',
  plan_rolled_back: 'plans roll changes back',
  plan_held: 'plans hold changes',
  plan_ended: 'plans have ended',
  plan_unattended: 'plans are carried out by nobody',
};
/** The same for alerts that say that something is over. Rules that report events have no such alerts. */
const RESOLVED_NOUNS: Partial<Record<AlertRule, string>> = {
  new_offender: 'workloads made no IMDSv1 call any more',
  credentials_over_v1: 'workloads fetched no role credentials over IMDSv1 any more',
  host_not_ready: 'hosts are ready again',
  host_silent: 'hosts are back',
  coverage_lost: 'captures have recovered',
  group_not_ready: 'Auto Scaling groups are ready again',
  offender_reopened: 'workloads were decided about again',
  exception_ended: 'workloads were decided about again',
  enforcement_undone: 'hosts require tokens again',
  plan_held: 'plans hold nothing any more',
  plan_unattended: 'plans are carried out again',
};

/** `isBack`: an earlier alert about it was resolved, because it did not call for a while. */
export function newOffender(offender: Offender, isBack: boolean): AlertDraft {
  const { title, id, first_v1: first, calls_v1: calls, advice_headline: advice } = offender;
  return firing(
    {
      rule: 'new_offender',
      subject: id,
      severity: 'warning',
      title: short(`${isBack ? 'IMDSv1 caller is back' : 'New IMDSv1 caller'}: ${title}`),
      text: `${title} calls the instance metadata service without a token (IMDSv1) ${where(offender)}: ${calls} ${calls === 1 ? 'call' : 'calls'}${first === null ? '' : `, the first at ${first}`}. ${advice}${ownerText(offender)}`,
    },
    offenderObject(offender),
    offender.hosts,
  );
}

export function offenderQuiet(id: string, days: number): AlertDraft {
  return resolved({
    rule: 'new_offender',
    subject: id,
    severity: 'warning',
    title: `No IMDSv1 call of workload ${id} for ${days} days`,
    text: `No IMDSv1 call of this workload was seen for ${days} days. Calls while its hosts were not watched would not be known: the verdicts of the hosts say where that was so.`,
  });
}

export function credentialsQuiet(id: string, days: number): AlertDraft {
  return resolved({
    rule: 'credentials_over_v1',
    subject: id,
    severity: 'critical',
    title: `No role credentials over IMDSv1 for workload ${id} for ${days} days`,
    text: `This workload was not seen to fetch role credentials without a token for ${days} days.`,
  });
}

/** `previousUs` is the time of the last such call that an alert was sent for, null if there was none. */
export function credentialsOverV1(offender: Offender, previousUs: number | null): AlertDraft {
  const { title, id, roles_v1: roles, advice_headline: advice } = offender;
  const role = roles.length === 0 ? '' : ` of ${roles.join(', ')}`;
  const previous = previousUs === null ? '' : ` The previous time was ${toTimestamp(previousUs)}.`;
  const words = {
    rule: 'credentials_over_v1' as const,
    subject: id,
    severity: 'critical' as const,
    title: short(`Role credentials over IMDSv1${previousUs === null ? '' : ' again'}: ${title}`),
    text: `${title} fetched role credentials${role} without a token ${where(offender)}, last at ${offender.last_credentials_over_v1}.${previous} An attacker who can make it send a request can steal these credentials. ${advice}${ownerText(offender)}`,
  };
  return firing(words, offenderObject(offender), offender.hosts);
}

export function hostNotReady(host: Host): AlertDraft {
  const { id, name, verdict, last_v1: last, offender_count: callers } = host;
  const reasons: Record<Host['verdict'], string> = {
    ready: 'It is ready.',
    enforced: 'Tokens are required there.',
    blocked: `${callers} ${callers === 1 ? 'workload calls' : 'workloads call'} IMDSv1 there${last === null ? '' : `, last at ${last}`}.`,
    fallback:
      'Workloads that support IMDSv2 fell back to IMDSv1 there: their token requests failed. The advice for each says why.',
    rejected: 'Tokens are required there, and calls without one are refused: something is broken.',
    unproven: 'It was not watched all the time, or packets were lost.',
  };
  return aboutHost(host, 'host_not_ready', {
    title: `Host ${name} is not ready any more: ${verdict}`,
    text: `Host ${name} (${id}) was proven safe for HttpTokens=required. This has changed: its verdict is now ${verdict}. ${reasons[verdict]}`,
  });
}

export function hostReadyAgain(host: Host): AlertDraft {
  const { id, name, verdict } = host;
  return overOnHost(host, 'host_not_ready', {
    title: `Host ${name} is ${verdict} again`,
    text: `Host ${name} (${id}) is proven safe for HttpTokens=required again: its verdict is ${verdict}.`,
  });
}

export function hostSilent(host: Host): AlertDraft {
  const { id, name, last_heartbeat: last } = host;
  return aboutHost(host, 'host_silent', {
    title: `Host ${name} has gone silent`,
    text: `The agent of host ${name} (${id}) has not reported since ${last}. Calls made there in the meantime stay unknown until it reports again.`,
  });
}

export function hostBack(host: Host): AlertDraft {
  const { id, name } = host;
  return overOnHost(host, 'host_silent', {
    title: `Host ${name} is back`,
    text: `The agent of host ${name} (${id}) reports again.`,
  });
}

export function coverageLost(host: Host, gap: StoredGap): AlertDraft {
  const { id, name } = host;
  const problem = gap.reason === 'losses' ? 'lost packets or records' : 'was not live';
  return aboutHost(host, 'coverage_lost', {
    title: `Host ${name}: the capture ${problem}`,
    text: `The capture on host ${name} (${id}) ${problem} between ${toTimestamp(gap.startUs)} and ${toTimestamp(gap.endUs)}${gap.detail === null ? '' : ` (${gap.detail})`}. Calls may have been missed. Run "imdswatch doctor" on that host to find the cause.`,
  });
}

export function coverageRecovered(host: Host, sinceUs: number): AlertDraft {
  const { id, name } = host;
  return overOnHost(host, 'coverage_lost', {
    title: `Host ${name}: the capture has recovered`,
    text: `The capture on host ${name} (${id}) has lost nothing since ${toTimestamp(sinceUs)}.`,
  });
}

/** A host or a group that was deleted, so that nothing more is known about it. */
export function subjectGone(
  rule: 'host_not_ready' | 'host_silent' | 'coverage_lost' | 'group_not_ready',
  id: string,
): AlertDraft {
  const what = rule === 'group_not_ready' ? `Auto Scaling group ${id.replace(/^asg:/, '')}` : `Host ${id}`;
  return resolved({
    rule,
    subject: id,
    severity: 'warning',
    title: short(`${what} is not known any more`),
    text: `${what} is not in the store any more, because nothing was reported about it for a long time.`,
  });
}

/** A workload that was fixed and calls again, or whose exception is over. */
export function triageEnded(
  { id, title, triage }: EndedTriage,
  rule: 'offender_reopened' | 'exception_ended',
): AlertDraft {
  const { owner, ticket, until, reason, set, set_by: by } = triage;
  const known = [
    ...(owner === null ? [] : [`Owner: ${owner}.`]),
    ...(ticket === null ? [] : [`Ticket: ${ticket}`]),
  ].join(' ');
  const again = rule === 'offender_reopened';
  const text = again
    ? `${title} was marked as fixed by ${by} at ${set}, and has called the instance metadata service without a token (IMDSv1) since then. It is open again. ${known}`
    : `The exception of ${title} ended at ${until}. Its reason was: ${reason} The workload is open again. ${known}`;
  return firing(
    {
      rule,
      subject: id,
      severity: 'warning',
      title: short(again ? `Fixed, but calls IMDSv1 again: ${title}` : `Exception ended: ${title}`),
      text: text.trim(),
    },
    namedObject('offender', { id, name: title }, owner),
  );
}

/** Somebody has decided anew about a workload whose triage had ended. */
export function triageSetAgain(rule: 'offender_reopened' | 'exception_ended', id: string): AlertDraft {
  return resolved({
    rule,
    subject: id,
    severity: 'warning',
    title: `Workload ${id} was decided about again`,
    text: `Somebody has set the triage of this workload again, or has removed it.`,
  });
}

/** Sums up many alerts of one rule in one, which is as severe as the worst of them. */
export function summary(rule: AlertRule, group: readonly AlertDraft[]): AlertDraft {
  const [first] = group as [AlertDraft, ...AlertDraft[]];
  const severity = group.some((alert) => alert.severity === 'critical') ? 'critical' : first.severity;
  const { state } = first;
  const names = group.slice(0, NAMES_IN_A_SUMMARY).map(({ title }) => title);
  const more = group.length - names.length;
  return {
    rule,
    subject: SUMMARY_SUBJECT,
    state,
    severity,
    title: `${group.length} ${(state === 'resolved' ? RESOLVED_NOUNS[rule] : undefined) ?? NOUNS[rule]}`,
    text: [...names, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'),
    object: null,
    hosts: [],
    members: group,
  };
}

type HostRule = 'host_not_ready' | 'host_silent' | 'coverage_lost';
type Words = Pick<AlertDraft, 'title' | 'text'>;

function aboutHost(host: Host, rule: HostRule, { title, text }: Words): AlertDraft {
  const { id: subject, name } = host;
  const words = { rule, subject, severity: 'warning' as const, title: short(title), text };
  return firing(words, hostObject(host), [{ id: subject, name }]);
}

function overOnHost(host: Host, rule: HostRule, words: Words): AlertDraft {
  return { ...aboutHost(host, rule, words), state: 'resolved' };
}

function ownerText({ triage: { owner } }: Offender): string {
  return owner === null ? '' : ` Owner: ${owner}.`;
}

function where({ hosts, host_count: count }: Offender): string {
  const [first] = hosts;
  if (first === undefined) return `on ${count} hosts`;
  if (count <= 1) return `on host ${first.name}`;
  return `on host ${first.name} and ${count - 1} more`;
}

export function short(title: string): string {
  const characters = [...title];
  return characters.length <= MAX_TITLE_CHARACTERS
    ? title
    : `${characters.slice(0, MAX_TITLE_CHARACTERS - 1).join('')}…`;
}
