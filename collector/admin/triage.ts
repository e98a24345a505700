/** Rows of triage by workload: the decisions of people about offenders. Every change is in the audit log. */
import { maskShapes } from '../../agent/secrets/mask_shapes.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { cutText } from '../../protocol/text_bounds.ts';
import type { TriageChange, TriageRecord, TriageState } from '../contract/triage.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';
import type { AdminSql } from './admin_sql.ts';
import { AuditLog } from './audit_log.ts';

/** Bounds the table, whose rows are all read for each list of offenders. */
const MAX_RECORDS = 20_000;
const MAX_TITLE_CHARACTERS = 200;
const LEAST_DONE_FIRST: readonly TriageState[] = ['open', 'in_progress', 'exception', 'fixed'];

/** The question for all rows, also for a database that is opened for reading. */
export const ALL_TRIAGE = `SELECT workload, state, set_us AS "setUs", set_by AS "setBy", until_us AS "untilUs", reason, owner, ticket, notes
  FROM triage ORDER BY workload`;

export interface TriageSubject {
  workload: string;
  /** Name of the workload, for the audit log. */
  title: string;
  /** Workloads of other records that have become this one. */
  joined: readonly string[];
}

export class TriageRows {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  async all(): Promise<TriageRecord[]> {
    return triageRecords(await this.#sql.all(ALL_TRIAGE));
  }

  /**
   * Changes the triage of a workload. `change` must be valid by its schema. Secrets in its texts are masked, because
   * everybody who signs in reads them. Throws `OperatorError` (2) for an
   * exception that would have ended already, and where too many workloads have a triage.
   */
  async change(
    { workload, title, joined }: TriageSubject,
    given: TriageChange,
    by: { name: string; sourceAddress: string | null },
    nowMs: number,
  ): Promise<TriageRecord> {
    const change = withoutSecrets(given);
    const untilUs = change.until === undefined ? null : toMicroseconds(new Date(change.until).toISOString());
    if (untilUs !== null && untilUs <= nowMs * 1000) {
      throw new OperatorError(
        2,
        `The exception until ${change.until} has ended already. Choose a later date.`,
      );
    }
    return this.#sql.transaction('triage', async (sql) => {
      const all = triageRecords(await sql.all(ALL_TRIAGE));
      const ids = new Set([workload, ...joined]);
      const [before] = all
        .filter((record) => ids.has(record.workload))
        .sort(
          (a, b) =>
            LEAST_DONE_FIRST.indexOf(a.state) - LEAST_DONE_FIRST.indexOf(b.state) || a.setUs - b.setUs,
        );
      if (before === undefined && all.length >= MAX_RECORDS) {
        throw new OperatorError(2, `${MAX_RECORDS} workloads have a triage already, which is the limit.`);
      }
      const keepsState = change.state === undefined && before !== undefined;
      const record: TriageRecord = {
        workload,
        state: change.state ?? before?.state ?? 'open',
        setUs: keepsState ? before.setUs : nowMs * 1000,
        setBy: keepsState ? before.setBy : by.name,
        untilUs: keepsState ? before.untilUs : untilUs,
        reason: keepsState ? before.reason : (change.reason ?? null),
        owner: change.owner === undefined ? (before?.owner ?? null) : change.owner,
        ticket: change.ticket === undefined ? (before?.ticket ?? null) : change.ticket,
        notes: change.notes === undefined ? (before?.notes ?? null) : change.notes,
      };
      for (const id of joined) await sql.run('DELETE FROM triage WHERE workload = $1', id);
      const { state, setUs, setBy, reason, owner, ticket, notes } = record;
      await sql.run(
        `INSERT INTO triage (workload, state, set_us, set_by, until_us, reason, owner, ticket, notes)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (workload) DO UPDATE SET state = excluded.state, set_us = excluded.set_us,
           set_by = excluded.set_by, until_us = excluded.until_us, reason = excluded.reason,
           owner = excluded.owner, ticket = excluded.ticket, notes = excluded.notes`,
        workload,
        state,
        setUs,
        setBy,
        record.untilUs,
        reason,
        owner,
        ticket,
        notes,
      );
      await new AuditLog(sql).append(
        {
          actor: by.name,
          action: 'triage.set',
          subject: workload,
          detail: `"${cutText(title, MAX_TITLE_CHARACTERS)}": ${describe(change, untilUs)}`,
          source_address: by.sourceAddress,
        },
        nowMs,
      );
      return record;
    });
  }
}

/** Converts the rows of `ALL_TRIAGE`. */
export function triageRecords(rows: readonly object[]): TriageRecord[] {
  return rows.map((row) => ({ ...row }) as TriageRecord);
}

function withoutSecrets({ reason, owner, ticket, notes, ...rest }: TriageChange): TriageChange {
  const masked = <T extends string | null | undefined>(text: T) =>
    (typeof text === 'string' ? maskShapes(text) : text) as T;
  return {
    ...rest,
    reason: masked(reason),
    owner: masked(owner),
    ticket: masked(ticket),
    notes: masked(notes),
  };
}

/** The text of notes stays out of the audit log, which nobody can correct. */
function describe({ state, reason, owner, ticket, notes }: TriageChange, untilUs: number | null): string {
  const named = (name: string, value: string | null | undefined) =>
    value === undefined ? [] : [value === null ? `${name} removed` : `${name} ${value}`];
  return [
    ...(state === undefined ? [] : [`state ${state}`]),
    ...(untilUs === null ? [] : [`until ${toTimestamp(untilUs)}: ${reason}`]),
    ...named('owner', owner),
    ...named('ticket', ticket),
    ...(notes === undefined ? [] : [notes === null ? 'notes removed' : 'notes changed']),
  ].join(', ');
}
