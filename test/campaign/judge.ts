/** Compares what the metadata service answered with what the collector stored and lists as gaps. Values in, values out. */

/** A call as the metadata service saw it. */
export interface AnsweredCall {
  number: number;
  timeMs: number;
  version: 1 | 2;
}

export interface StoredCall {
  number: number;
  version: 1 | 2 | null;
}

/** Times in milliseconds since 1970, both ends included. */
export interface Span {
  fromMs: number;
  toMs: number;
  reason: string;
}

export interface Findings {
  answered: readonly AnsweredCall[];
  stored: readonly StoredCall[];
  gaps: readonly Span[];
  /** IMDSv2 calls that the agent's heartbeat says it dropped at the bound of its spool. */
  overflowedV2: number;
}

export interface Table {
  answered: number;
  stored: number;
  twice: number[];
  /** Stored as another version than the service's. */
  misjudged: number[];
  in_gap: number;
  /** Stored, although the gaps say that it may be missing. */
  stored_in_gap: number;
  /** Missing from no gap, and within the number of dropped IMDSv2 calls that the host reports. */
  overflowed: number;
  unexplained: AnsweredCall[];
}

export function judge({ answered, stored, gaps, overflowedV2 }: Findings): Table {
  const versions = new Map<number, StoredCall['version']>();
  const twice: number[] = [];
  for (const { number, version } of stored) {
    if (versions.has(number)) twice.push(number);
    versions.set(number, version);
  }
  const table: Table = {
    answered: answered.length,
    stored: 0,
    twice,
    misjudged: [],
    in_gap: 0,
    stored_in_gap: 0,
    overflowed: 0,
    unexplained: [],
  };
  // A bound on rows explains no missing call: a campaign stays below all of them.
  const explaining = gaps.filter(({ reason }) => !reason.startsWith('not_kept'));
  for (const call of answered) {
    if (versions.has(call.number)) {
      table.stored += 1;
      if (isIn(gaps, call.timeMs)) table.stored_in_gap += 1;
      if (versions.get(call.number) !== call.version) table.misjudged.push(call.number);
    } else if (isIn(explaining, call.timeMs)) {
      table.in_gap += 1;
    } else if (call.version === 2 && table.overflowed < overflowedV2) {
      table.overflowed += 1;
    } else {
      table.unexplained.push(call);
    }
  }
  return table;
}

/** The service's times are cut to milliseconds, those of gaps are not. */
export function isIn(gaps: readonly Span[], timeMs: number): boolean {
  return gaps.some(({ fromMs, toMs }) => timeMs >= Math.floor(fromMs) && timeMs <= toMs);
}

export function addTables(tables: readonly Table[]): Table {
  const sum = (of: (table: Table) => number) => tables.reduce((total, table) => total + of(table), 0);
  return {
    answered: sum(({ answered }) => answered),
    stored: sum(({ stored }) => stored),
    twice: tables.flatMap(({ twice }) => twice),
    misjudged: tables.flatMap(({ misjudged }) => misjudged),
    in_gap: sum(({ in_gap }) => in_gap),
    stored_in_gap: sum(({ stored_in_gap }) => stored_in_gap),
    overflowed: sum(({ overflowed }) => overflowed),
    unexplained: tables.flatMap(({ unexplained }) => unexplained),
  };
}

export interface Sums {
  /** IMDSv2 calls that the service answered, and all that it saw at all. */
  answered: readonly AnsweredCall[];
  seen: number;
  /** Counts of the collector, roll-ups and whole calls together. */
  counted: number;
  gaps: readonly Span[];
}

/** For roll-ups, which carry no numbers: sums of IMDSv2 calls. */
export function judgeSums({ answered, seen, counted, gaps }: Sums) {
  const missing = Math.max(0, answered.length - counted);
  const inGaps = answered.filter(({ timeMs }) => isIn(gaps, timeMs)).length;
  return {
    answered: answered.length,
    counted,
    missing,
    in_gaps: inGaps,
    unexplained: Math.max(0, missing - inGaps),
    surplus: Math.max(0, counted - seen),
  };
}
