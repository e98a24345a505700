/** Stores one report of a plan, within a transaction. */
import { maskShapes } from '../../agent/secrets/mask_shapes.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type {
  PlanReport,
  PlanReportAnswer,
  PlanStepReport,
  PlanStepStatus,
} from '../../protocol/plan_report.ts';
import { toMicroseconds } from '../store/time.ts';
import type { AdminSql, SqlRow } from './admin_sql.ts';
import { AuditLog } from './audit_log.ts';
import { keepConfirmedHosts } from './confirmed_hosts.ts';

/** Bounds the tables: a step has some 500 bytes. The oldest plans that nobody carries out make room for new ones. */
const MAX_PLANS = 2000;
const MAX_STEPS = 200_000;
/** A process that carries a plan out reports every 30 s. */
export const CARRIED_OUT_MS = 90_000;

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

export class ReportedPlan {
  readonly #sql: AdminSql;
  readonly #id: string;
  readonly #report: PlanReport;

  /** `sql`: a transaction about plans. */
  constructor(sql: AdminSql, id: string, report: PlanReport) {
    this.#sql = sql;
    this.#id = id;
    this.#report = report;
  }

  /** Throws `OperatorError`, see `PlanRows.report`. */
  async store(by: string, nowMs: number): Promise<ReportResult> {
    const id = this.#id;
    const report = this.#report;
    const known = await this.#sql.get('SELECT sequence, step_count, phase FROM plans WHERE id = $1', id);
    this.#check(known);
    if (known === undefined) await this.#makeRoom(report.step_count, nowMs);
    await this.#putPlan(by, nowMs);
    const changes: StepChange[] = [];
    for (const step of report.steps) {
      const before = await this.#putStep(step);
      if (before !== step.state) changes.push({ step: step.id, before, after: step.state });
    }
    await keepConfirmedHosts(this.#sql, id, report.steps, nowMs);
    const steps = await this.#count();
    const phase = (known?.['phase'] ?? null) as PlanReport['phase'] | null;
    return {
      steps,
      sequence_before: known === undefined ? null : Number(known['sequence']),
      changes,
      phase: phase === report.phase ? null : { before: phase, after: report.phase },
    };
  }

  #check(known: SqlRow | undefined): void {
    const { sequence, step_count, steps } = this.#report;
    if (known !== undefined && Number(known['sequence']) > sequence) {
      throw new OperatorError(
        2,
        `The report covers ${sequence} events of the plan ${this.#id}, and ${known['sequence']} are known already. If its journal was restored from a backup, make a new plan.`,
      );
    }
    if (known !== undefined && Number(known['step_count']) !== step_count) {
      throw new OperatorError(2, `The plan ${this.#id} has ${known['step_count']} steps, not ${step_count}.`);
    }
    const outside = steps.find(({ position }) => position >= step_count);
    if (outside !== undefined) {
      throw new OperatorError(
        2,
        `The step ${outside.id} has a place beyond the ${step_count} steps of the plan.`,
      );
    }
  }

  async #makeRoom(steps: number, nowMs: number): Promise<void> {
    const sums = await this.#sql.get(
      'SELECT count(*) AS plans, coalesce(sum(step_count), 0) AS kept FROM plans',
    );
    let tooMany = Number(sums!['plans']) + 1 - MAX_PLANS;
    let tooManySteps = Number(sums!['kept']) + steps - MAX_STEPS;
    if (tooMany <= 0 && tooManySteps <= 0) return;
    // A process that was killed has not said that it ended.
    const oldest = await this.#sql.all(
      'SELECT id, step_count FROM plans WHERE is_carried_out = 0 OR reported_us < $1 ORDER BY created_us, id',
      (nowMs - CARRIED_OUT_MS) * 1000,
    );
    for (const { id, step_count: count } of oldest) {
      if (tooMany <= 0 && tooManySteps <= 0) break;
      await this.#sql.run('DELETE FROM plans WHERE id = $1', id!);
      tooMany -= 1;
      tooManySteps -= Number(count);
      const entry = { action: 'plan.forget', subject: String(id), source_address: null };
      const detail = `The collector keeps ${MAX_PLANS} plans and ${MAX_STEPS} steps. The oldest plan was deleted here, not on the machine that carries it out.`;
      await new AuditLog(this.#sql).append({ ...entry, actor: 'collector', detail }, nowMs);
    }
    if (tooMany > 0 || tooManySteps > 0) {
      throw new OperatorError(
        2,
        `The collector keeps ${MAX_PLANS} plans and ${MAX_STEPS} steps, and all of them are carried out now.`,
      );
    }
  }

  async #putPlan(by: string, nowMs: number): Promise<void> {
    const report = this.#report;
    await this.#sql.run(
      `INSERT INTO plans (id, change, sequence, created_us, created_by, begun_us, begun_by, phase, phase_since_us,
         phase_reason, is_carried_out, step_count, left_out_count, states, has_more, reported_us, reported_by)
       VALUES ($1, (SELECT coalesce(max(change), 0) + 1 FROM plans), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
         '{}', $13, $14, $15)
       ON CONFLICT (id) DO UPDATE SET change = excluded.change, sequence = excluded.sequence,
         begun_us = excluded.begun_us, begun_by = excluded.begun_by, phase = excluded.phase,
         phase_since_us = excluded.phase_since_us, phase_reason = excluded.phase_reason,
         is_carried_out = excluded.is_carried_out, has_more = excluded.has_more,
         reported_us = excluded.reported_us, reported_by = excluded.reported_by`,
      this.#id,
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

  /** Returns the state before; null for a new step. */
  async #putStep(step: PlanStepReport): Promise<PlanStepStatus | null> {
    const { position, state, wave, group, role, since } = step;
    const before = await this.#sql.get(
      'SELECT id, state, undone_us, held_us, wave, group_name FROM plan_steps WHERE plan = $1 AND position = $2',
      this.#id,
      position,
    );
    if (
      before !== undefined &&
      (before['id'] !== step.id || before['wave'] !== wave || before['group_name'] !== group)
    ) {
      throw new OperatorError(
        2,
        `The step ${position} of the plan ${this.#id} is ${before['id']}, not ${step.id}.`,
      );
    }
    const sinceUs = microseconds(since) ?? 0;
    const isUndone = state === 'rolling_back' || state === 'rolled_back';
    const undoneUs = before?.['undone_us'] ?? (isUndone ? sinceUs : null);
    // A roll-back that ends with a held step is news, also about a step that was held before.
    const heldUs = state === 'held' ? sinceUs : (before?.['held_us'] ?? null);
    const stored = JSON.stringify({ ...step, reason: masked(step.reason) });
    await this.#sql.run(
      `INSERT INTO plan_steps (plan, position, id, wave, group_name, role, state, undone_us, held_us, step)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
       ON CONFLICT (plan, position) DO UPDATE SET state = excluded.state, undone_us = excluded.undone_us,
         held_us = excluded.held_us, step = excluded.step`,
      this.#id,
      position,
      step.id,
      wave,
      group,
      role,
      state,
      undoneUs,
      heldUs,
      stored,
    );
    return (before?.['state'] ?? null) as PlanStepStatus | null;
  }

  /** Counts the steps by state, and returns how many there are. */
  async #count(): Promise<number> {
    const rows = (await this.#sql.all(
      'SELECT state, count(*) AS steps FROM plan_steps WHERE plan = $1 GROUP BY state',
      this.#id,
    )) as unknown as { state: string; steps: number }[];
    const states = Object.fromEntries(rows.map(({ state, steps }) => [state, steps]));
    await this.#sql.run('UPDATE plans SET states = $1 WHERE id = $2', JSON.stringify(states), this.#id);
    return rows.reduce((sum, { steps }) => sum + steps, 0);
  }
}

function masked(text: string | null): string | null {
  return text === null ? null : maskShapes(text);
}

function microseconds(time: string | null): number | null {
  return time === null ? null : toMicroseconds(time);
}
