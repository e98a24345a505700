/** One server that is to answer questions as a standby: its connections, and what is known about it. */
import { isConnectionLost, isServerFault, sqlState } from './database_errors.ts';
import { DatabasePool, type Session } from './database_pool.ts';
import type { DatabaseAddress } from './database_url.ts';
import type { FoundServer, Unfit } from './standby_judgement.ts';
import { bytesOf, type DatabaseIdentity, hasMark, IDENTITY } from './timeline_marks.ts';

export interface StandbyServerOptions {
  /** Connections for questions. */
  readers: number;
  applicationName: string;
}

/** Time for a look at the server. It is looked at again and again, so that no question waits for one that is away. */
const LOOK_MS = 3_000;

export class StandbyServer {
  /** Host and port, or the directory of a Unix socket. */
  readonly place: string;
  readonly questions: DatabasePool;
  readonly #looks: DatabasePool;
  /** The last judgement; null where the server may answer. */
  problem: Unfit | null = { reason: 'unknown', text: 'it was not looked at yet' };
  /** From when its data was at the last look. Microseconds since 1970; null where that is not known. */
  asOfUs: number | null = null;

  /** `address`: names one host. */
  constructor(address: DatabaseAddress, { readers, applicationName }: StandbyServerOptions) {
    const { host, port } = address.hosts[0]!;
    this.place = host.startsWith('/') ? host : `${host}:${port}`;
    this.questions = new DatabasePool(address, { max: readers, applicationName, anyServer: true });
    this.#looks = new DatabasePool(address, {
      max: 1,
      applicationName,
      anyServer: true,
      statementMs: LOOK_MS,
      connectMs: LOOK_MS,
    });
  }

  /** Asks the server what it is. `mark` null: no mark is known. */
  look(mark: string | null): Promise<FoundServer & DatabaseIdentity> {
    return this.#looks.session(async (session) => {
      const [found, [identity]] = await Promise.all([
        ask(session, mark),
        session.query<DatabaseIdentity & Record<string, unknown>>(`SELECT ${IDENTITY}`),
      ]);
      return { ...found, ...identity! };
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.questions.close(), this.#looks.close()]);
  }
}

/**
 * Asks a server what it is. The position is that of before a transaction that begins afterwards, so such a transaction
 * sees at least what was replayed up to it.
 */
export async function ask(session: Session, mark: string | null): Promise<FoundServer> {
  const [[row], marked] = await Promise.all([
    session.query<{ isStandby: boolean; position: number | null }>(
      `SELECT pg_is_in_recovery() AS "isStandby", ${bytesOf('pg_last_wal_replay_lsn()')} AS position`,
    ),
    mark === null ? false : hasMark(session, mark),
  ]);
  return { ...row!, hasMark: marked };
}

/** Returns why a standby gave no answer, where the primary may give one; null where the question itself failed. */
export function failureOf(error: unknown): Unfit | null {
  const state = sqlState(error);
  const text = causeOf(error);
  // serialization_failure, deadlock_detected: in a transaction that only reads, only the recovery causes them
  // (PostgreSQL 15 documentation, 27.4.2 "Handling Query Conflicts").
  if (state === '40001' || state === '40P01') return { reason: 'conflict', text };
  if (isConnectionLost(error) || isServerFault(error) || isUnavailable(error)) {
    return { reason: 'away', text: `it does not answer: ${text}` };
  }
  return null;
}

function isUnavailable(error: unknown): boolean {
  return (error as Error).name === 'DatabaseUnavailableError';
}

/** The errors of a pool advise about the primary, and their cause says what happened. */
function causeOf(error: unknown): string {
  const { cause, message } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
