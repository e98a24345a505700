/**
 * Rows of plans of `imdswatch enforce`, as their processes report them. A plan that was deleted to make room is in the
 * audit log.
 */
import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite';
import { maskShapes } from '../../agent/secrets/mask_shapes.ts';
import { OperatorError } from '../../common/operator_error.ts';
import {
  FINAL_PLAN_STEP_STATES,
  PLAN_STEP_STATES,
  type PlanReport,
  type PlanReportAnswer,
  type PlanStepReport,
  type PlanStepStatus,
} from '../../protocol/plan_report.ts';
import type { PlanTargetQuestion } from '../contract/enforcement.ts';
import type { Plan, PlanDetail, PlanStep, PlanWave, StepCounts } from '../contract/plan.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';
import type { AuditLog } from './audit_log.ts';
import { type ConfirmedHost, keepConfirmedHosts } from './confirmed_hosts.ts';
import { transaction } from './transaction.ts';

/** Bounds the tables: a step has some 500 bytes. The oldest plans that nobody carries out make room for new ones. */
const MAX_PLANS = 2000;
const MAX_STEPS = 200_000;
const MAX_REFUSALS = 100;
/** A process that carries a plan out reports every 30 s. */
export const CARRIED_OUT_MS = 90_000;
const MAX_WAVES = 1000;

export interface StepChange {
  step: string;
  before: PlanStepStatus | null;
  after: PlanStepStatus;
}

export interface ReportResult extends PlanReportAnswer {
  /** Changes of states, so that they can be audited. */
  changes: StepChange[];
  /** The phase before, where it has changed. Null for a new plan. */
  phase: { before: PlanReport['phase'] | null; after: PlanReport['phase'] } | null;
}

/** Steps of a plan are listed by wave, group and place in the plan. */
export interface StepPlace {
  wave: number;
  group: string;
  position: number;
}

export interface StepQuestion {
  states: readonly PlanStepStatus[] | null;
  /** Only the steps of this group, or of this wave. */
  group: string | null;
  wave: number | null;
  /** Only steps behind this place. */
  after: StepPlace | null;
  limit: number;
}

/** A plan that was reported since a number of change. */
export interface ChangedPlan {
  change: number;
  plan: Plan;
  hasMore: boolean;
}

/** A step that began to be rolled back, or was held. */
export interface StepEntry {
  /** Microseconds since 1970. */
  atUs: number;
  /** It is, or was, rolled back: held after that, its roll-back has failed. */
  wasUndone: boolean;
  step: PlanStep;
}

type Row = Record<string, SQLOutputValue>;

export class PlanRows {
  readonly #database: DatabaseSync;
  readonly #auditLog: Pick<AuditLog, 'append'>;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, auditLog: Pick<AuditLog, 'append'>) {
    this.#database = database;
    this.#auditLog = auditLog;
  }

  /**
   * Stores a report. `by`: name of who reports. `report` must be valid by its schema. Secrets in its texts are masked,
   * because everybody who signs in reads them. Throws `OperatorError` (2) for a report that is older than what is known,
   * that does not fit the plan, or for which there is no room.
   */
  report(id: string, report: PlanReport, by: string, nowMs: number): ReportResult {
    return transaction(this.#database, () => {
      const known = this.#sql('SELECT sequence, step_count, phase FROM plans WHERE id = ?').get(id);
      this.#check(id, report, known);
      if (known === undefined) this.#makeRoom(report.step_count, nowMs);
      this.#putPlan(id, report, by, nowMs);
      const changes = report.steps.flatMap((step) => this.#putStep(id, step));
      keepConfirmedHosts(this.#database, this.#auditLog, id, report.steps, nowMs);
      const steps = this.#count(id);
      const phase = (known?.['phase'] ?? null) as PlanReport['phase'] | null;
      return {
        steps,
        sequence_before: known === undefined ? null : Number(known['sequence']),
        changes,
        phase: phase === report.phase ? null : { before: phase, after: report.phase },
      };
    });
  }

  /** Returns all plans, newest first. */
  all(): Plan[] {
    return this.#sql('SELECT * FROM plans ORDER BY created_us DESC, id').all().map(planOf);
  }

  one(id: string): PlanDetail | null {
    const row = this.#sql('SELECT * FROM plans WHERE id = ?').get(id);
    if (row === undefined) return null;
    const waves = this.#waves(id);
    return {
      ...planOf(row),
      waves: waves.slice(0, MAX_WAVES),
      wave_count: waves.length,
      refusals: this.#refusals(id),
    };
  }

  steps(id: string, { states, group, wave, after, limit }: StepQuestion): PlanStep[] {
    const rows = this.#sql(
      `SELECT step FROM plan_steps
       WHERE plan = ?1 AND (wave, group_name, position) > (?2, ?3, ?4)
         AND (?5 IS NULL OR state IN (SELECT value FROM json_each(?5)))
         AND (?6 IS NULL OR group_name = ?6) AND (?7 IS NULL OR wave = ?7)
       ORDER BY wave, group_name, position LIMIT ?8`,
    ).all(
      id,
      after?.wave ?? -1,
      after?.group ?? '',
      after?.position ?? -1,
      states === null ? null : JSON.stringify(states),
      group,
      wave,
      limit,
    );
    return rows.map(({ step }) => stepOf(String(step)));
  }

  /** Returns the plans whose latest report has a number above this one, in the order of the reports. */
  changedSince(change: number): ChangedPlan[] {
    return this.#sql('SELECT * FROM plans WHERE change > ? ORDER BY change')
      .all(change)
      .map((row) => ({ change: Number(row['change']), plan: planOf(row), hasMore: row['has_more'] === 1 }));
  }

  /** Returns whether the plan was reported again since its report with this number. */
  hasChangedSince(id: string, change: number): boolean {
    return this.#sql('SELECT 1 FROM plans WHERE id = ? AND change > ?').get(id, change) !== undefined;
  }

  /**
   * Returns the plans that go on, and of which nobody has reported for a while. Nobody watches their changes, or nobody
   * who could tell this collector.
   */
  unattended(nowMs: number): Plan[] {
    return this.#sql(
      "SELECT * FROM plans WHERE phase IN ('running', 'paused') AND reported_us < ? ORDER BY id",
    )
      .all((nowMs - CARRIED_OUT_MS) * 1000)
      .map(planOf);
  }

  /** Returns the steps of a plan that entered a roll-back, or were held, after this time. */
  stepsSince(id: string, kind: 'undone' | 'held', sinceUs: number): StepEntry[] {
    const column = kind === 'undone' ? 'undone_us' : 'held_us';
    return this.#sql(
      `SELECT step, ${column} AS at, undone_us IS NOT NULL AS was_undone FROM plan_steps
       WHERE plan = ? AND ${column} > ? ORDER BY position`,
    )
      .all(id, sinceUs)
      .map(({ step, at, was_undone }) => ({
        atUs: Number(at),
        wasUndone: was_undone === 1,
        step: stepOf(String(step)),
      }));
  }

  /**
   * Returns the plans that processes carry out now, but for `except`, and whose step for the target is not at its end. A
   * plan whose process has not reported for a while is carried out by nobody.
   */
  underWayFor({ type, account, region, id }: PlanTargetQuestion, except: string, nowMs: number): string[] {
    return this.#sql(
      `SELECT DISTINCT plan FROM plan_steps WHERE plan IN (
         SELECT id FROM plans WHERE is_carried_out = 1 AND reported_us >= ?1 AND id <> ?2)
       AND state NOT IN (SELECT value FROM json_each(?3)) AND step ->> '$.target.type' = ?4
       AND step ->> '$.target.account' = ?5 AND step ->> '$.target.region' = ?6
       AND step ->> '$.target.id' IS ?7 ORDER BY plan`,
    )
      .all(
        (nowMs - CARRIED_OUT_MS) * 1000,
        except,
        JSON.stringify(FINAL_PLAN_STEP_STATES),
        type,
        account,
        region,
        id,
      )
      .map(({ plan }) => String(plan));
  }

  /** Returns a text that changes with the confirmed hosts. */
  confirmedVersion(): string {
    const row = this.#sql(
      'SELECT count(*) AS hosts, max(confirmed_us) AS confirmed, max(drifted_us) AS drifted FROM confirmed_hosts',
    ).get();
    return JSON.stringify(row);
  }

  confirmedHosts(): ConfirmedHost[] {
    return this.#sql(
      `SELECT host_id AS hostId, plan, step, confirmed_us AS confirmedUs, drifted_us AS driftedUs
       FROM confirmed_hosts ORDER BY host_id`,
    )
      .all()
      .map((row) => ({ ...row })) as unknown as ConfirmedHost[];
  }

  #waves(id: string): PlanWave[] {
    const rows = this.#sql(
      `SELECT wave, group_name, role, state, count(*) AS steps, min(position) AS first FROM plan_steps
       WHERE plan = ? GROUP BY wave, group_name, role, state ORDER BY wave, group_name, role`,
    ).all(id) as {
      wave: number;
      group_name: string;
      role: PlanWave['role'];
      state: string;
      steps: number;
      first: number;
    }[];
    const waves = Map.groupBy(rows, ({ wave, group_name, role }) => JSON.stringify([wave, group_name, role]));
    return [...waves.values()].map((parts) => ({
      group: parts[0]!.group_name,
      wave: parts[0]!.wave,
      role: parts[0]!.role,
      step_count: parts.reduce((sum, { steps }) => sum + steps, 0),
      states: countsOf(Object.fromEntries(parts.map(({ state, steps }) => [state, steps]))),
      first_position: Math.min(...parts.map(({ first }) => first)),
    }));
  }

  #refusals(id: string): PlanDetail['refusals'] {
    const rows = this.#sql(
      `SELECT step ->> '$.refusal.host' AS host, step ->> '$.refusal.caller_id' AS caller_id,
         step ->> '$.refusal.caller' AS caller, step ->> '$.refusal.at' AS at,
         sum(state IN ('rolling_back', 'rolled_back')) AS rolled_back, sum(state = 'held') AS held
       FROM plan_steps WHERE plan = ? AND step ->> '$.refusal' IS NOT NULL
       GROUP BY 1, 2, 3, 4 ORDER BY 4, 1, 2 LIMIT ${MAX_REFUSALS}`,
    ).all(id) as PlanDetail['refusals'];
    return rows.map((row) => ({ ...row, at: sixDigits(row.at) }));
  }

  #check(id: string, { sequence, step_count, steps }: PlanReport, known: Row | undefined): void {
    if (known !== undefined && Number(known['sequence']) > sequence) {
      throw new OperatorError(
        2,
        `The report covers ${sequence} events of the plan ${id}, and ${known['sequence']} are known already. If its journal was restored from a backup, make a new plan.`,
      );
    }
    if (known !== undefined && Number(known['step_count']) !== step_count) {
      throw new OperatorError(2, `The plan ${id} has ${known['step_count']} steps, not ${step_count}.`);
    }
    const outside = steps.find(({ position }) => position >= step_count);
    if (outside !== undefined) {
      throw new OperatorError(
        2,
        `The step ${outside.id} has a place beyond the ${step_count} steps of the plan.`,
      );
    }
  }

  #makeRoom(steps: number, nowMs: number): void {
    const { plans, kept } = this.#sql(
      'SELECT count(*) AS plans, coalesce(sum(step_count), 0) AS kept FROM plans',
    ).get() as { plans: number; kept: number };
    let tooMany = plans + 1 - MAX_PLANS;
    let tooManySteps = kept + steps - MAX_STEPS;
    if (tooMany <= 0 && tooManySteps <= 0) return;
    // A process that was killed has not said that it ended.
    const oldest = this.#sql(
      'SELECT id, step_count FROM plans WHERE is_carried_out = 0 OR reported_us < ? ORDER BY created_us, id',
    ).all((nowMs - CARRIED_OUT_MS) * 1000);
    for (const { id, step_count: count } of oldest) {
      if (tooMany <= 0 && tooManySteps <= 0) break;
      this.#sql('DELETE FROM plans WHERE id = ?').run(id!);
      tooMany -= 1;
      tooManySteps -= Number(count);
      const entry = { action: 'plan.forget', subject: String(id), source_address: null };
      const detail = `The collector keeps ${MAX_PLANS} plans and ${MAX_STEPS} steps. The oldest plan was deleted here, not on the machine that carries it out.`;
      this.#auditLog.append({ ...entry, actor: 'collector', detail }, nowMs);
    }
    if (tooMany > 0 || tooManySteps > 0) {
      throw new OperatorError(
        2,
        `The collector keeps ${MAX_PLANS} plans and ${MAX_STEPS} steps, and all of them are carried out now.`,
      );
    }
  }

  #putPlan(id: string, report: PlanReport, by: string, nowMs: number): void {
    this.#sql(
      `INSERT INTO plans (id, change, sequence, created_us, created_by, begun_us, begun_by, phase, phase_since_us,
         phase_reason, is_carried_out, step_count, left_out_count, states, has_more, reported_us, reported_by)
       VALUES (?1, (SELECT coalesce(max(change), 0) + 1 FROM plans), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
         '{}', ?13, ?14, ?15)
       ON CONFLICT (id) DO UPDATE SET change = excluded.change, sequence = excluded.sequence,
         begun_us = excluded.begun_us, begun_by = excluded.begun_by, phase = excluded.phase,
         phase_since_us = excluded.phase_since_us, phase_reason = excluded.phase_reason,
         is_carried_out = excluded.is_carried_out, has_more = excluded.has_more,
         reported_us = excluded.reported_us, reported_by = excluded.reported_by`,
    ).run(
      id,
      report.sequence,
      toMicroseconds(report.created),
      report.created_by,
      microseconds(report.begun),
      report.begun_by,
      report.phase,
      toMicroseconds(report.phase_since),
      masked(report.phase_reason),
      Number(report.is_carried_out),
      report.step_count,
      report.left_out_count,
      Number(report.has_more),
      nowMs * 1000,
      by,
    );
  }

  #putStep(plan: string, step: PlanStepReport): StepChange[] {
    const { position, state, wave, group, role, since } = step;
    const before = this.#sql(
      'SELECT id, state, undone_us, held_us, wave, group_name FROM plan_steps WHERE plan = ? AND position = ?',
    ).get(plan, position);
    if (
      before !== undefined &&
      (before['id'] !== step.id || before['wave'] !== wave || before['group_name'] !== group)
    ) {
      throw new OperatorError(
        2,
        `The step ${position} of the plan ${plan} is ${before['id']}, not ${step.id}.`,
      );
    }
    const sinceUs = microseconds(since) ?? 0;
    const isUndone = state === 'rolling_back' || state === 'rolled_back';
    const undoneUs = before?.['undone_us'] ?? (isUndone ? sinceUs : null);
    // A roll-back that ends with a held step is news, also about a step that was held before.
    const heldUs = state === 'held' ? sinceUs : (before?.['held_us'] ?? null);
    const stored = JSON.stringify({ ...step, reason: masked(step.reason) });
    this.#sql(
      `INSERT INTO plan_steps (plan, position, id, wave, group_name, role, state, undone_us, held_us, step)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (plan, position) DO UPDATE SET state = excluded.state, undone_us = excluded.undone_us,
         held_us = excluded.held_us, step = excluded.step`,
    ).run(plan, position, step.id, wave, group, role, state, undoneUs, heldUs, stored);
    const earlier = (before?.['state'] ?? null) as PlanStepStatus | null;
    return earlier === state ? [] : [{ step: step.id, before: earlier, after: state }];
  }

  /** Counts the steps by state, and returns how many there are. */
  #count(id: string): number {
    const rows = this.#sql(
      'SELECT state, count(*) AS steps FROM plan_steps WHERE plan = ? GROUP BY state',
    ).all(id) as { state: string; steps: number }[];
    const states = Object.fromEntries(rows.map(({ state, steps }) => [state, steps]));
    this.#sql('UPDATE plans SET states = ? WHERE id = ?').run(JSON.stringify(states), id);
    return rows.reduce((sum, { steps }) => sum + steps, 0);
  }

  #sql(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) {
      statement = this.#database.prepare(text);
      this.#statements.set(text, statement);
    }
    return statement;
  }
}

function planOf(row: Row): Plan {
  const time = (us: SQLOutputValue | undefined) => (us === null ? null : toTimestamp(Number(us)));
  const text = (value: SQLOutputValue | undefined) => value as string | null;
  return {
    id: String(row['id']),
    created: toTimestamp(Number(row['created_us'])),
    created_by: String(row['created_by']),
    begun: time(row['begun_us']),
    begun_by: text(row['begun_by']),
    phase: row['phase'] as Plan['phase'],
    phase_since: toTimestamp(Number(row['phase_since_us'])),
    phase_reason: text(row['phase_reason']),
    is_carried_out: row['is_carried_out'] === 1,
    reported: toTimestamp(Number(row['reported_us'])),
    reported_by: String(row['reported_by']),
    step_count: Number(row['step_count']),
    left_out_count: Number(row['left_out_count']),
    states: countsOf(JSON.parse(String(row['states']))),
  };
}

function countsOf(counts: Partial<StepCounts>): StepCounts {
  return Object.fromEntries(PLAN_STEP_STATES.map((state) => [state, counts[state] ?? 0])) as StepCounts;
}

function stepOf(json: string): PlanStep {
  const { since, refusal, ...step } = JSON.parse(json) as PlanStepReport;
  return {
    ...step,
    since: since === null ? null : sixDigits(since),
    refusal: refusal === null ? null : { ...refusal, at: sixDigits(refusal.at) },
  };
}

/** Everything that is served has times with microseconds. */
function sixDigits(time: string): string {
  return toTimestamp(toMicroseconds(time));
}

function masked(text: string | null): string | null {
  return text === null ? null : maskShapes(text);
}

function microseconds(time: string | null): number | null {
  return time === null ? null : toMicroseconds(time);
}
