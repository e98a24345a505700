/**
 * The texts of alerts. Names in them come from hosts and programs; each channel escapes them for its own
 * format.
 */
import type { AlertRule } from '../contract/administration.ts';
import type { Host } from '../contract/host.ts';
import type { Offender } from '../contract/offender.ts';
import type { EndedTriage } from '../insight/triage_reader.ts';
import type { StoredGap } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import type { AlertDraft } from './alert_draft.ts';

/** Subject of an alert that sums up many. */
export const SUMMARY_SUBJECT = 'summary';
const NAMES_IN_A_SUMMARY = 10;
const MAX_TITLE_CHARACTERS = 200;

export function newOffender(offender: Offender): AlertDraft {
  const { title, id, first_v1: first, calls_v1: calls, advice_headline: advice } = offender;
  return {
    rule: 'new_offender',
    subject: id,
    severity: 'warning',
    title: short(`New IMDSv1 caller: ${title}`),
    text: `${title} calls the instance metadata service without a token (IMDSv1) ${where(offender)}: ${calls} ${calls === 1 ? 'call' : 'calls'}${first === null ? '' : `, the first at ${first}`}. ${advice}${ownerText(offender)}`,
  };
}

/** `previousUs` is the time of the last such call that an alert was sent for, null if there was none. */
export function credentialsOverV1(offender: Offender, previousUs: number | null): AlertDraft {
  const { title, id, roles_v1: roles, advice_headline: advice } = offender;
  const role = roles.length === 0 ? '' : ` of ${roles.join(', ')}`;
  const previous = previousUs === null ? '' : ` The previous time was ${toTimestamp(previousUs)}.`;
  return {
    rule: 'credentials_over_v1',
    subject: id,
    severity: 'critical',
    title: short(`Role credentials over IMDSv1${previousUs === null ? '' : ' again'}: ${title}`),
    text: `${title} fetched role credentials${role} without a token ${where(offender)}, last at ${offender.last_credentials_over_v1}.${previous} An attacker who can make it send a request can steal these credentials. ${advice}${ownerText(offender)}`,
  };
}

export function hostNotReady({
  id,
  name,
  verdict,
  last_v1: last,
  offender_count: callers,
}: Host): AlertDraft {
  const reasons: Record<Host['verdict'], string> = {
    ready: 'It is ready.',
    enforced: 'Tokens are required there.',
    blocked: `${callers} ${callers === 1 ? 'workload calls' : 'workloads call'} IMDSv1 there${last === null ? '' : `, last at ${last}`}.`,
    fallback:
      'Workloads that support IMDSv2 fell back to IMDSv1 there: their token requests failed. The advice for each says why.',
    rejected: 'Tokens are required there, and calls without one are refused: something is broken.',
    unproven: 'It was not watched all the time, or packets were lost.',
  };
  return {
    rule: 'host_not_ready',
    subject: id,
    severity: 'warning',
    title: short(`Host ${name} is not ready any more: ${verdict}`),
    text: `Host ${name} (${id}) was proven safe for HttpTokens=required. This has changed: its verdict is now ${verdict}. ${reasons[verdict]}`,
  };
}

export function hostSilent({ id, name, last_heartbeat: last }: Host): AlertDraft {
  return {
    rule: 'host_silent',
    subject: id,
    severity: 'warning',
    title: short(`Host ${name} has gone silent`),
    text: `The agent of host ${name} (${id}) has not reported since ${last}. Calls made there in the meantime stay unknown until it reports again.`,
  };
}

export function hostBack({ id, name }: Host): AlertDraft {
  return {
    rule: 'host_silent',
    subject: id,
    severity: 'info',
    title: short(`Host ${name} is back`),
    text: `The agent of host ${name} (${id}) reports again.`,
  };
}

export function coverageLost({ id, name }: Host, gap: StoredGap): AlertDraft {
  const problem = gap.reason === 'losses' ? 'lost packets or records' : 'was not live';
  return {
    rule: 'coverage_lost',
    subject: id,
    severity: 'warning',
    title: short(`Host ${name}: the capture ${problem}`),
    text: `The capture on host ${name} (${id}) ${problem} between ${toTimestamp(gap.startUs)} and ${toTimestamp(gap.endUs)}${gap.detail === null ? '' : ` (${gap.detail})`}. Calls may have been missed. Run "imdswatch doctor" on that host to find the cause.`,
  };
}

/** A workload that was fixed and calls again, or whose exception is over. */
export function triageEnded({ id, title, triage }: EndedTriage): AlertDraft {
  const { ended, owner, ticket, until, reason, set, set_by: by } = triage;
  const known = [
    ...(owner === null ? [] : [`Owner: ${owner}.`]),
    ...(ticket === null ? [] : [`Ticket: ${ticket}`]),
  ].join(' ');
  const again = ended === 'called_again';
  const text = again
    ? `${title} was marked as fixed by ${by} at ${set}, and has called the instance metadata service without a token (IMDSv1) since then. It is open again. ${known}`
    : `The exception of ${title} ended at ${until}. Its reason was: ${reason} The workload is open again. ${known}`;
  return {
    rule: again ? 'offender_reopened' : 'exception_ended',
    subject: id,
    severity: 'warning',
    title: short(again ? `Fixed, but calls IMDSv1 again: ${title}` : `Exception ended: ${title}`),
    text: text.trim(),
  };
}

/** Sums up many alerts of one rule in one, which is as severe as the worst of them. */
export function summary(rule: AlertRule, group: readonly AlertDraft[]): AlertDraft {
  const severity = group.some((alert) => alert.severity === 'critical') ? 'critical' : group[0]!.severity;
  const nouns: Record<AlertRule, string> = {
    new_offender: 'new IMDSv1 callers',
    credentials_over_v1: 'workloads fetched role credentials over IMDSv1',
    host_not_ready: 'hosts are not ready any more',
    host_silent: severity === 'info' ? 'hosts are back' : 'hosts are silent',
    coverage_lost: 'hosts whose capture lost packets or records, or was not live',
    group_ready: 'Auto Scaling groups are ready',
    group_not_ready: 'Auto Scaling groups are not ready any more',
    offender_reopened: 'workloads that were fixed call IMDSv1 again',
    exception_ended: 'exceptions have ended',
    enforcement_undone:
      severity === 'info' ? 'hosts require tokens again' : 'hosts do not require tokens any more',
    plan_rolled_back: 'plans roll changes back',
    plan_held: 'plans hold changes',
    plan_ended: 'plans have ended',
    plan_unattended: 'plans are carried out by nobody',
  };
  const names = group.slice(0, NAMES_IN_A_SUMMARY).map(({ title }) => title);
  const more = group.length - names.length;
  return {
    rule,
    subject: SUMMARY_SUBJECT,
    severity,
    title: `${group.length} ${nouns[rule]}`,
    text: [...names, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'),
  };
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
