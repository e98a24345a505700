/** Tells errors of PostgreSQL apart by what helps: another connection, another attempt, or an operator. */
import { OperatorError } from '../../../common/operator_error.ts';

/** No server could be used. The collector goes on trying, and agents keep their records meanwhile. */
export class DatabaseUnavailableError extends OperatorError {
  constructor(attempts: readonly { place: string; reason: string }[], cause: unknown) {
    const list = attempts.map(({ place, reason }) => `${place}: ${reason}`).join('; ');
    super(
      1,
      `The database cannot be reached (${list}). Check that its primary runs, and that the address, the password and the certificates are right. Agents keep their records until then.`,
      { cause },
    );
    this.name = 'DatabaseUnavailableError';
  }
}

/** Tells an operator what to look at where a server is there and does not answer. */
const ADVICE =
  'Check that its standbys run, if its synchronous_standby_names asks for them, and that it has time and a free disk. Agents keep their records until then.';

/**
 * The outcome of a transaction is not known: its commit was not confirmed by as many servers as the database wants. It
 * is stored whole or not at all. Who asks again must be able to see which.
 */
export class UnknownOutcomeError extends OperatorError {
  constructor(cause: unknown) {
    const reason = (cause as Error).message;
    super(
      1,
      `The database did not confirm a commit, so it is not known if it is stored (${reason}). ${ADVICE}`,
      { cause },
    );
    this.name = 'UnknownOutcomeError';
  }
}

/** A server was given a statement, and said nothing in the time that a statement may take. */
export class UnansweredError extends OperatorError {
  constructor(place: string, cause: unknown) {
    super(1, `The database at ${place} did not answer in time (${(cause as Error).message}). ${ADVICE}`, {
      cause,
    });
    this.name = 'UnansweredError';
  }
}

/** Returns the SQLSTATE of an error of the server; null for other errors. */
export function sqlState(error: unknown): string | null {
  const { code, severity } = error as { code?: unknown; severity?: unknown };
  return typeof code === 'string' && severity !== undefined ? code : null;
}

const UNANSWERED = 'Query read timeout';

/** Tells whether the server had not answered a statement in time. It may be working on it still. */
export function isUnanswered(error: unknown): boolean {
  const { message, cause } = error as { message?: unknown; cause?: unknown };
  return message === UNANSWERED || (cause instanceof Error && cause.message === UNANSWERED);
}

/** Messages of the `pg` package about a connection that is lost or of no more use, without a code. */
const LOST =
  /^(Connection terminated|Query read timeout|timeout exceeded|timeout expired|Client (was closed|has encountered)|Cannot use a pool)/;

/**
 * Tells whether the same work may succeed at once on another connection: the server ended this one, became a standby,
 * is starting or stopping, or the network failed. Codes: PostgreSQL 15 documentation, appendix A.
 */
export function isConnectionLost(error: unknown): boolean {
  const state = sqlState(error);
  if (state === null) {
    const { syscall, message } = error as { syscall?: unknown; message?: unknown };
    return syscall !== undefined || LOST.test(String(message)) || hasNoAnswer(error);
  }
  return (
    state.startsWith('08') ||
    // admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped.
    state.startsWith('57P') ||
    // read_only_sql_transaction: the server has become a standby. idle_in_transaction_session_timeout.
    state === '25006' ||
    state === '25P03'
  );
}

function hasNoAnswer(error: unknown): boolean {
  return error instanceof UnknownOutcomeError || error instanceof UnansweredError;
}

/** Tells whether a row that was inserted is there already: unique_violation. */
export function isDuplicate(error: unknown): boolean {
  return sqlState(error) === '23505';
}

/** Tells whether the transaction lost against another one, and may be tried again: a deadlock or a conflict. */
export function isConflict(error: unknown): boolean {
  const state = sqlState(error);
  // deadlock_detected, serialization_failure, lock_not_available (lock_timeout).
  return state === '40P01' || state === '40001' || state === '55P03';
}

/**
 * Tells whether the server itself cannot store anything now: no room on its disk, no memory, errors of the disk, damage, or
 * rights that were taken away. Other errors are about the statement or its rows.
 */
export function isServerFault(error: unknown): boolean {
  const state = sqlState(error) ?? '';
  return /^(53|58|XX)/.test(state) || state === '42501';
}

/** Tells whether the server has no room for what it is to store: disk_full. */
export function hasNoRoom(error: unknown): boolean {
  return sqlState(error) === '53100';
}
