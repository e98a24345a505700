/** Decides whether a standby may answer, and from when its data is. Pure. */
import type { StandbyProblem } from '../../contract/storage.ts';
import type { DatabaseIdentity, TimelineMark } from './timeline_marks.ts';
import type { WalHistory } from './wal_history.ts';

/** The answers of a server about itself. */
export interface FoundServer {
  isStandby: boolean;
  /** Bytes of the write-ahead log that it has replayed; null where it cannot tell. */
  position: number | null;
  hasMark: boolean;
}

export interface Demands {
  /** Null where no mark is known. */
  mark: TimelineMark | null;
  history: Pick<WalHistory, 'timeOf'>;
  /** Microseconds since 1970, by the collector's clock. */
  nowUs: number;
  maxLagUs: number;
}

export interface Unfit {
  reason: StandbyProblem;
  /** Says about the server what is wrong, such as `it is 75 s behind …`. */
  text: string;
}

export type Judgement = { asOfUs: number } | Unfit;

export function isUnfit(judgement: Judgement): judgement is Unfit {
  return 'reason' in judgement;
}

export function judgeStandby(
  { isStandby, position, hasMark }: FoundServer,
  { mark, history, nowUs, maxLagUs }: Demands,
): Judgement {
  if (!isStandby) return { reason: 'not_a_standby', text: 'it is not a standby: it takes changes' };
  if (mark === null) {
    return {
      reason: 'unknown',
      text: 'it cannot be told whether it follows the primary, because no mark of a collector is known',
    };
  }
  if (position === null) {
    return {
      reason: 'unknown',
      text: 'it does not say how far it has replayed (pg_last_wal_replay_lsn is null)',
    };
  }
  if (!hasMark) {
    return position < mark.position
      ? { reason: 'behind', text: 'it has not replayed yet what this collector stored when it began' }
      : {
          reason: 'diverged',
          text: 'it does not follow the primary: it has passed the position of a mark that the primary has, and lacks the mark',
        };
  }
  const asOfUs = history.timeOf(position);
  if (asOfUs === null) {
    return { reason: 'behind', text: 'it is behind the first position of the primary that is known' };
  }
  const lagUs = nowUs - asOfUs;
  if (lagUs <= maxLagUs) return { asOfUs };
  return {
    reason: 'behind',
    text: `it is ${Math.floor(lagUs / 1e6)} s behind, and store_reader_max_lag is ${maxLagUs / 1e6}`,
  };
}

/** Returns what is wrong where two servers do not have one database; null where they have. */
export function otherDatabase(primary: DatabaseIdentity, server: DatabaseIdentity): Unfit | null {
  if (primary.system !== server.system) {
    return {
      reason: 'other_database',
      text: `it belongs to another PostgreSQL cluster than the primary (system identifier ${server.system}, and that of the primary is ${primary.system})`,
    };
  }
  if (primary.database !== server.database) {
    return { reason: 'other_database', text: 'its address names another database than that of the primary' };
  }
  return null;
}
