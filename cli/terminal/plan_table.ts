/** Shows plans, their state and single events as text for a terminal. */
import type { Plan, PlanStep, Policy } from '../../enforce/plan.ts';
import type { EventOf, Finding, PlanEvent } from '../../enforce/state/events.ts';
import { soakMs } from '../../enforce/state/intents.ts';
import { nextActionText } from '../../enforce/state/next_step.ts';
import type { PlanState } from '../../enforce/state/step_state.ts';
import { columnsOf } from './text_width.ts';
import { visibleText } from './visible_text.ts';

/** Returns what the plan would do, in its order, with the evidence. */
export function planText(plan: Plan): string {
  const rows = plan.steps.map((step) => [
    step.id,
    `${step.wave}`,
    step.role,
    targetText(step),
    changeText(step),
    step.group,
    step.evidence === null
      ? ''
      : `${step.evidence.verdict}${step.evidence.start_seen ? '' : ', no start seen'}`,
  ]);
  return [
    `Plan ${plan.id}, made ${plan.created} by ${visibleText(plan.created_by)}. Nothing has been changed.\n\n`,
    table(['STEP', 'WAVE', 'ROLE', 'TARGET', 'CHANGE', 'GROUP', 'EVIDENCE'], rows),
    `\n${policyText(plan.policy)}\n`,
    leftOutText(plan.left_out),
  ].join('');
}

export function leftOutText(leftOut: Plan['left_out']): string {
  if (leftOut.length === 0) return '';
  const lines = leftOut.map(({ host, reason }) => `  ${visibleText(host)}: ${visibleText(reason)}\n`);
  return `\nLeft out:\n${lines.join('')}`;
}

/** Returns what has become of the plan. */
export function statusText(plan: Plan, state: PlanState, runner: number | null): string {
  const rows = plan.steps.map((step) => {
    const own = state.steps[step.id]!;
    const soak = own.status === 'soaking' ? ` ${share(own.watchedMs, soakMs(plan, step))}` : '';
    return [
      step.id,
      `${step.wave}`,
      targetText(step),
      changeText(step),
      `${own.status}${soak}`,
      own.reason ?? '',
    ];
  });
  const phase = state.phase === 'paused' ? `paused: ${visibleText(state.pausedReason ?? '')}` : state.phase;
  const by = runner === null ? 'No process carries it out.' : `The process ${runner} carries it out.`;
  const next = runner === null ? nextActionText(plan, state) : null;
  return [
    `Plan ${plan.id} is ${phase}. ${by}\n\n`,
    table(['STEP', 'WAVE', 'TARGET', 'CHANGE', 'STATE', 'REASON'], rows),
    next === null ? '' : `\n${next}\n`,
  ].join('');
}

/** Returns the findings of the guards for one step, those that stand in the way first. */
export function findingsText(step: PlanStep, findings: readonly Finding[]): string {
  const order = ['refuse', 'wait', 'skip', 'pass'];
  const lines = findings
    .toSorted((a, b) => order.indexOf(a.result) - order.indexOf(b.result))
    .map(({ guard, result, text }) => `  ${result.padEnd(6)} ${guard.padEnd(13)} ${visibleText(text)}\n`);
  return `${step.id} ${targetText(step)} ${changeText(step)}\n${lines.join('')}`;
}

/** A process reports within this time. */
const REPORTED_WITHIN_MS = 60_000;

/** Says what the collector was not told of a plan; empty where it has everything, or soon will. */
export function unreportedText(
  id: string,
  told: { reported: { at: string } | null; lacks: number; isCarriedOut: boolean },
  nowMs = Date.now(),
): string {
  const { reported, lacks, isCarriedOut } = told;
  const isSoon = isCarriedOut && reported !== null && nowMs - Date.parse(reported.at) < REPORTED_WITHIN_MS;
  if (lacks <= 0 || isSoon) return '';
  const what =
    reported === null
      ? 'No collector was told of this plan'
      : `The collector lacks the last ${lacks} event${lacks === 1 ? '' : 's'} of this plan: it was told last at ${reported.at}`;
  const next = isCarriedOut
    ? 'The process that carries it out tries again.'
    : `Send it: imdswatch enforce status ${id} --collector URL`;
  return `NOT REPORTED: ${what}, so its page and its audit log do not show it. ${next}\n`;
}

type TellableEvent = Exclude<PlanEvent, EventOf<'refused_call'>>;

/** Returns one line about an event, or null for one that nobody needs to read as it happens. */
export function eventLine(plan: Plan, event: TellableEvent, state: PlanState): string | null {
  const line = eventText(plan, event, state);
  return line === null ? null : `${new Date(event.at).toISOString()} ${line}\n`;
}

function eventText(plan: Plan, event: TellableEvent, state: PlanState): string | null {
  switch (event.type) {
    case 'observed':
    case 'earlier_calls':
      return null;
    case 'begun':
    case 'resumed':
      return `${event.type} by ${visibleText(event.by)}`;
    case 'taken_over':
      return 'taken over from an earlier process';
    case 'paused':
      return `paused by ${visibleText(event.by)}: ${visibleText(event.reason)}`;
    case 'read_failed':
      return `${event.step} cannot be read: ${visibleText(event.message)}`;
    case 'confirmed_by':
      return `confirmed by ${visibleText(event.by)}: ${event.steps.join(', ')}${event.reason === undefined ? '' : ` (${visibleText(event.reason)})`}`;
    case 'rollback_ordered':
      return `roll-back ordered by ${visibleText(event.by)}: ${visibleText(event.reason)}`;
    default: {
      const step = plan.steps.find(({ id }) => id === event.step)!;
      const { status, restore, reason } = state.steps[event.step]!;
      const part = restore === null ? '' : ` (${restore})`;
      return `${step.id} ${targetText(step)} ${status}${part}${reason === null ? '' : `: ${visibleText(reason)}`}`;
    }
  }
}

/** Returns the line about refused calls of one caller on one host. */
export function refusedCallsLine({
  host,
  caller,
  calls,
  lastMs,
}: {
  host: string;
  caller: string;
  calls: number;
  lastMs: number;
}): string {
  const times = calls === 1 ? '' : ` ${calls} times more`;
  return `${new Date(lastMs).toISOString()} REFUSED CALL: ${visibleText(caller)} called without a token on ${host}${times}\n`;
}

function targetText({ target }: PlanStep): string {
  switch (target.type) {
    case 'instance':
      return visibleText(`${target.host_name} (${target.instance_id})`);
    case 'template':
      return visibleText(`new version of ${target.template_id}`);
    case 'template_default':
      return visibleText(`default version of ${target.template_id}`);
    case 'group_version':
      return visibleText(`template version of ${target.scaling_group}`);
    case 'account_default':
      return `default of ${target.account} in ${target.region}`;
  }
}

function changeText({ change }: PlanStep): string {
  const parts = [
    ...(change.http_tokens === undefined ? [] : [`tokens ${change.http_tokens}`]),
    ...(change.hop_limit === undefined ? [] : [`hop limit ${change.hop_limit}`]),
  ];
  return parts.join(', ');
}

function policyText(policy: Policy): string {
  const hours = (seconds: number) => `${Math.round((seconds / 3600) * 10) / 10} h`;
  return [
    `At most ${Math.round(policy.max_share * 100)} % of a group are unconfirmed at once, and always one.`,
    `A canary is watched for ${hours(policy.canary_soak_seconds)}, others for ${hours(policy.soak_seconds)}.`,
    ...(policy.no_way_back_reason === null
      ? []
      : [`No way back is needed: ${visibleText(policy.no_way_back_reason)}`]),
  ].join(' ');
}

function share(part: number, whole: number): string {
  return whole === 0 ? '' : `${Math.min(100, Math.floor((100 * part) / whole))} %`;
}

function table(head: string[], rows: readonly string[][]): string {
  const widths = head.map((title, column) =>
    Math.max(columnsOf(title), ...rows.map((row) => columnsOf(row[column]!))),
  );
  const line = (row: readonly string[]) =>
    `${row.map((cell, column) => cell + ' '.repeat(Math.max(0, widths[column]! - columnsOf(cell)))).join('  ')}`.trimEnd();
  return [head, ...rows.map((row) => row.map(visibleText))].map((row) => `${line(row)}\n`).join('');
}
