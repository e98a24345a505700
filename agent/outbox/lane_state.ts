/** The counts of one lane in the ledger. */

/** The ledger's entry of a lane. Counts are numbers of records since the spool was made. */
export interface LaneState {
  /** Number of the next record to be appended. */
  next: number;
  /** Every record below this number is acknowledged or gone. */
  cursor: number;
  acknowledged: number;
  overflowed: number;
  lost: number;
}

/** Takes `surplus` records off the counts of records that are gone, from the least certain count first. */
export function reduceCounts(state: LaneState, surplus: number): void {
  let rest = surplus;
  for (const name of ['overflowed', 'acknowledged', 'lost'] as const) {
    const part = Math.min(rest, state[name]);
    state[name] -= part;
    rest -= part;
  }
}
