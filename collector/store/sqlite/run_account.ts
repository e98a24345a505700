/**
 * Compares one coverage report with the one before it: how long nobody watched, and how many connections the
 * kernel reported that nobody saw. The functions are pure: they take the state before and a report, and
 * return the missing amounts and the state after.
 *
 * An agent measures its reports by the host's boot clock (CLOCK_BOOTTIME), which nobody can set. So the time
 * between two reports of one boot is known to the microsecond, whatever happened to the wall clock. Reports
 * of older agents have the wall clock alone, and every difference counts as not watched.
 */

/**
 * Two successive readings of clocks differ by less than this. A larger difference is a step of the wall
 * clock.
 */
const READING_US = 1_000;
/**
 * Older agents cut the time of a report to milliseconds. Time that one report lacks may be part of the one
 * before.
 */
const MAX_CARRY_US = 1_000;

export interface Report {
  bootId: string;
  /** Id of one start of the agent. Null from older agents, like the next two. */
  runId: string | null;
  /** The boot clock at the start and at the end. */
  uptime: { startUs: number; endUs: number } | null;
  /** Connections of the kernel that the capture has seen as well. */
  joinedConnections: number | null;
  /** Connections that were reported by the kernel, and not yet joined or missed at the end. */
  undecidedConnections: number;
  /** Calls that were not complete at the end, and are recorded later. */
  openCalls: number;
  /**
   * When the oldest of these calls, or of the undecided connections, began; null from older agents and where
   * there is none.
   */
  openSinceUs: number | null;
  /** Parts of the host that settings keep out of the capture. */
  leftOut: readonly string[];
  startUs: number;
  endUs: number;
  liveMs: number;
  kernelConnections: number | null;
  seenConnections: number;
  losses: Record<string, number>;
}

const UNSEEN = 'coverage.unseen_connections';

/** State of a host between two reports. */
export interface RunState {
  bootId: string;
  runId: string | null;
  endUs: number;
  uptimeUs: number | null;
  /** Time by which reports of an older agent lasted longer than their interval, as a negative number or 0. */
  carryUs: number;
  /** Connections of the last report that the next one must explain. */
  pending: number;
  /** Conversations that an older agent saw in the last report before the kernel reported them. */
  spare: number;
  openCalls: number;
  /**
   * When the oldest of these calls, or of the pending connections, began; at the latest. Absent from states
   * of older collectors.
   */
  openSinceUs?: number;
}

export interface Span {
  startUs: number;
  endUs: number;
}

export interface Account {
  /**
   * Time between the reports in which nobody watched. Together the spans are at least as long as the missing
   * time.
   */
  between: { reason: 'boot' | 'agent_not_running'; spans: Span[] } | null;
  /** Every time that the host's clock can have shown during the report. */
  span: Span;
  /** Time of the report itself in which the capture was not live. */
  notLiveUs: number;
  /** Amounts that were not seen, by reason. */
  unexplained: Record<string, number>;
  /** Work that the run before did not finish, by reason. It may not have been recorded. */
  unfinished: (Span & { amounts: Record<string, number> }) | null;
  state: RunState;
}

export function accountFor(last: RunState | null, report: Report): Account {
  const uptime =
    report.uptime !== null && report.uptime.endUs >= report.uptime.startUs ? report.uptime : null;
  const checked = { ...report, uptime };
  const connections = connectionsOf(last, checked);
  const time = notLive(last, checked);
  const span = spanOf(checked);
  const state: RunState = {
    bootId: report.bootId,
    runId: report.runId,
    endUs: report.endUs,
    uptimeUs: uptime?.endUs ?? null,
    carryUs: time.carryUs,
    pending: connections.pending,
    spare: connections.spare,
    openCalls: report.openCalls,
    openSinceUs: report.openSinceUs ?? span.startUs,
  };
  return {
    between: last === null ? null : betweenOf(last, checked),
    span,
    notLiveUs: time.notLiveUs,
    unexplained: connections.unseen > 0 ? { [UNSEEN]: connections.unseen } : {},
    unfinished: last === null || isSameRun(last, checked) ? null : unfinishedOf(last),
    state,
  };
}

/** A run that has ended can neither complete its open calls nor decide about connections any more. */
function unfinishedOf({ openCalls, pending, openSinceUs, endUs }: RunState): Account['unfinished'] {
  const amounts: Record<string, number> = {};
  if (pending > 0) amounts[UNSEEN] = pending;
  if (openCalls > 0) amounts['run.open_calls'] = openCalls;
  if (Object.keys(amounts).length === 0) return null;
  const sinceUs = openSinceUs ?? endUs;
  const startUs = Math.min(sinceUs, endUs);
  return { startUs, endUs: Math.max(sinceUs, endUs, startUs + 1), amounts };
}

/**
 * Returns from when to when the host's clock can have been, if it was set once between two readings that lie
 * `elapsedUs` apart.
 */
function shownBetween(startUs: number, endUs: number, elapsedUs: number): Span[] {
  // It was not set, or set forward: all that it showed lies between the readings.
  if (endUs - startUs >= elapsedUs) return [{ startUs, endUs }];
  // It was set back: it went on for some time, and then again up to the second reading.
  const [before, after] = [
    { startUs, endUs: startUs + elapsedUs },
    { startUs: endUs - elapsedUs, endUs },
  ];
  return before.startUs > after.endUs ? [after, before] : [hull([before, after])];
}

function hull(spans: readonly Span[]): Span {
  return {
    startUs: Math.min(...spans.map(({ startUs }) => startUs)),
    endUs: Math.max(...spans.map(({ endUs }) => endUs)),
  };
}

function spanOf({ startUs, endUs, uptime }: Report): Span {
  if (uptime === null) return { startUs: Math.min(startUs, endUs), endUs: Math.max(startUs, endUs) };
  return hull(shownBetween(startUs, endUs, uptime.endUs - uptime.startUs));
}

function isSameRun(last: RunState, report: Report): boolean {
  return last.bootId === report.bootId && last.runId === report.runId;
}

/** One report begins where the other ended, so that nothing between them was lost. */
function isNext(last: RunState, report: Report): boolean {
  if (!isSameRun(last, report)) return false;
  if (report.uptime === null || last.uptimeUs === null) return report.startUs === last.endUs;
  return report.uptime.startUs === last.uptimeUs;
}

function betweenOf(last: RunState, report: Report): Account['between'] {
  const rebooted = report.bootId !== last.bootId;
  const spans = rebooted ? aroundBoot(last, report) : withoutReport(last, report);
  const missing = spans.filter(({ startUs, endUs }) => endUs > startUs);
  if (missing.length === 0) return null;
  return { reason: rebooted ? 'boot' : 'agent_not_running', spans: missing };
}

/** After a boot nobody watched before the first report, however the wall clock was set meanwhile. */
function aroundBoot({ endUs }: RunState, { startUs, uptime }: Report): Span[] {
  const bootUs = startUs - (uptime?.startUs ?? 0);
  return [{ startUs: Math.min(endUs, bootUs), endUs: Math.max(endUs, startUs) }];
}

/**
 * A clock that was set back shows the same time twice. What was watched the first time says nothing about the
 * second, so both the time after the last report and the time before the next one count.
 */
function withoutReport({ endUs, uptimeUs }: RunState, { startUs, uptime }: Report): Span[] {
  const elapsedUs = uptime === null || uptimeUs === null ? null : uptime.startUs - uptimeUs;
  if (elapsedUs !== null && elapsedUs >= 0) return shownBetween(endUs, startUs, elapsedUs);
  return [{ startUs: Math.min(endUs, startUs), endUs: Math.max(endUs, startUs) }];
}

function notLive(last: RunState | null, report: Report): { notLiveUs: number; carryUs: number } {
  const liveUs = Math.round(report.liveMs * 1000);
  const wallUs = report.endUs - report.startUs;
  const { uptime } = report;
  if (uptime !== null) {
    const elapsedUs = uptime.endUs - uptime.startUs;
    // The wall clock was set forward meanwhile: nobody can say which of its time was watched.
    const countedUs = wallUs - elapsedUs > READING_US ? wallUs : elapsedUs;
    return { notLiveUs: Math.max(0, countedUs - liveUs), carryUs: 0 };
  }
  const carryUs = last !== null && isNext(last, report) ? last.carryUs : 0;
  const balanceUs = carryUs + wallUs - liveUs;
  return { notLiveUs: Math.max(0, balanceUs), carryUs: Math.max(-MAX_CARRY_US, Math.min(0, balanceUs)) };
}

/**
 * Counts connections that were not seen. Each connection that the kernel reported was joined with one that
 * was seen, was counted as missed, or is undecided; the rest was not seen. An older agent does not report
 * what it joined. For it the sums of two successive reports are compared, since a connection may be seen in
 * one and reported in the other.
 */
function connectionsOf(
  last: RunState | null,
  report: Report,
): { unseen: number; pending: number; spare: number } {
  const follows = last !== null && isNext(last, report);
  // The pending connections do not count where a report in between was lost: that time is missing anyway.
  const before = follows ? last.pending : 0;
  if (report.kernelConnections === null) return { unseen: before, pending: 0, spare: 0 };
  const missed = report.losses['coverage.missed'] ?? 0;
  if (report.joinedConnections !== null) {
    const explained = report.joinedConnections + missed + report.undecidedConnections;
    const unseen = Math.max(0, before + report.kernelConnections - explained);
    return { unseen, pending: report.undecidedConnections, spare: 0 };
  }
  const excess = report.kernelConnections - report.seenConnections - missed;
  if (excess >= 0) {
    const pending = Math.max(0, excess - (follows ? last.spare : 0));
    return { unseen: before, pending, spare: 0 };
  }
  const surplus = -excess;
  return {
    unseen: Math.max(0, before - surplus),
    pending: 0,
    spare: Math.max(0, surplus - before),
  };
}
