/**
 * The account of one coverage report against the one before it: how long nobody watched, and how many connections the
 * kernel reported that nobody saw. Pure: the state before and a report go in, what is missing and the state after come out.
 *
 * An agent measures its reports by the host's boot clock (CLOCK_BOOTTIME), which nobody can set: what lies between two
 * reports of one boot is known to the microsecond, whatever happened to the wall clock. Reports of older agents have the
 * wall clock alone, and there every difference counts as not watched.
 */

/** Two readings of clocks that follow one another differ by less than this; a larger step of the wall clock counts. */
const READING_US = 1_000;
/** Older agents cut the time of a report to milliseconds: what one report is short of, the one before may have had. */
const MAX_CARRY_US = 1_000;

export interface Report {
  bootId: string;
  /** One start of the agent; null from older agents, as the next two. */
  runId: string | null;
  /** The boot clock at the start and at the end. */
  uptime: { startUs: number; endUs: number } | null;
  /** Of the kernel's connections, those that the capture was found to have seen. */
  joinedConnections: number | null;
  /** Connections that were reported by the kernel, and not yet joined or missed at the end. */
  undecidedConnections: number;
  /** Calls that were not complete at the end, and are recorded later. */
  openCalls: number;
  startUs: number;
  endUs: number;
  liveMs: number;
  kernelConnections: number | null;
  seenConnections: number;
  losses: Record<string, number>;
}

/** What is kept of a host between two reports. */
export interface RunState {
  bootId: string;
  runId: string | null;
  endUs: number;
  uptimeUs: number | null;
  /** By how much the reports of an older agent were live for longer than they lasted; at most 0. */
  carryUs: number;
  /** Connections of the last report that the next one must explain. */
  pending: number;
  /** An older agent: conversations that were seen in the last report before the kernel reported them. */
  spare: number;
  openCalls: number;
}

export interface Account {
  /** Between the reports. The span is at least as long as what is missing. */
  between: { reason: 'boot' | 'agent_not_running'; startUs: number; endUs: number } | null;
  /** Of the report itself. */
  notLiveUs: number;
  /** What was not seen or may not have been recorded, by reason. */
  unexplained: Record<string, number>;
  state: RunState;
}

export function accountFor(last: RunState | null, report: Report): Account {
  const uptime =
    report.uptime !== null && report.uptime.endUs >= report.uptime.startUs ? report.uptime : null;
  const checked = { ...report, uptime };
  const connections = connectionsOf(last, checked);
  const time = notLive(last, checked);
  const state: RunState = {
    bootId: report.bootId,
    runId: report.runId,
    endUs: report.endUs,
    uptimeUs: uptime?.endUs ?? null,
    carryUs: time.carryUs,
    pending: connections.pending,
    spare: connections.spare,
    openCalls: report.openCalls,
  };
  const unexplained: Record<string, number> = {};
  if (connections.unseen > 0) unexplained['coverage.unseen_connections'] = connections.unseen;
  const openCalls = last !== null && !isSameRun(last, checked) ? last.openCalls : 0;
  if (openCalls > 0) unexplained['run.open_calls'] = openCalls;
  return {
    between: last === null ? null : betweenOf(last, checked),
    notLiveUs: time.notLiveUs,
    unexplained,
    state,
  };
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
  const earlierUs = Math.min(last.endUs, report.startUs);
  const laterUs = Math.max(last.endUs, report.startUs);
  let missingUs = laterUs - earlierUs;
  if (report.uptime !== null) {
    // After a boot nobody watched before the first report, however the wall clock was set meanwhile.
    const sinceUs = rebooted ? 0 : last.uptimeUs;
    if (sinceUs !== null) missingUs = Math.max(missingUs, report.uptime.startUs - sinceUs);
  }
  if (missingUs <= 0) return null;
  return {
    reason: rebooted ? 'boot' : 'agent_not_running',
    startUs: Math.min(earlierUs, laterUs - missingUs),
    endUs: laterUs,
  };
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
 * Every connection that the kernel reported was joined with one that was seen, or was counted as missed, or waits to be
 * decided: the rest was not seen. An older agent does not say what it joined. There the sums of two reports that follow
 * one another are compared, since a connection may be seen in one and reported in the other.
 */
function connectionsOf(
  last: RunState | null,
  report: Report,
): { unseen: number; pending: number; spare: number } {
  const follows = last !== null && isNext(last, report);
  // A run that ended before it decided cannot decide any more. Where reports were lost in between, time is missing anyway.
  const given = last === null ? 0 : follows || isSameRun(last, report) ? 0 : last.pending;
  const before = follows ? last.pending : 0;
  if (report.kernelConnections === null) return { unseen: given + before, pending: 0, spare: 0 };
  const missed = report.losses['coverage.missed'] ?? 0;
  if (report.joinedConnections !== null) {
    const explained = report.joinedConnections + missed + report.undecidedConnections;
    const unseen = Math.max(0, before + report.kernelConnections - explained);
    return { unseen: given + unseen, pending: report.undecidedConnections, spare: 0 };
  }
  const excess = report.kernelConnections - report.seenConnections - missed;
  if (excess >= 0) {
    const pending = Math.max(0, excess - (follows ? last.spare : 0));
    return { unseen: given + before, pending, spare: 0 };
  }
  const surplus = -excess;
  return {
    unseen: given + Math.max(0, before - surplus),
    pending: 0,
    spare: Math.max(0, surplus - before),
  };
}
