/**
 * Rows of plans of `imdswatch enforce`, as their processes report them. A plan that was deleted to make room is in the
 * audit log.
 */
import {
  FINAL_PLAN_STEP_STATES,
  PLAN_STEP_STATES,
  type PlanReport,
  type PlanStepReport,
  type PlanStepStatus,
} from '../../protocol/plan_report.ts';
import type { PlanTargetQuestion } from '../contract/enforcement.ts';
import type { Plan, PlanDetail, PlanStep, PlanWave, StepCounts } from '../contract/plan.ts';
import { toMicroseconds, toTimestamp } from '../store/time.ts';
import type { AdminSql, SqlRow, SqlValue } from './admin_sql.ts';
import type { ConfirmedHost } from './confirmed_hosts.ts';
import { CARRIED_OUT_MS, ReportedPlan, type ReportResult } from './reported_plan.ts';

const MAX_REFUSALS = 100;
const MAX_WAVES = 1000;

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

export class PlanRows {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  /**
   * Stores a report. `by`: name of who reports. `report` must be valid by its schema. Secrets in its texts are masked,
   * because everybody who signs in reads them. Throws `OperatorError` (2) for a report that is older than what is known,
   * that does not fit the plan, or for which there is no room.
   */
  report(id: string, report: PlanReport, by: string, nowMs: number): Promise<ReportResult> {
    return this.#sql.transaction('plans', (sql) => new ReportedPlan(sql, id, report).store(by, nowMs));
  }

  /** Returns all plans, newest first. */
  async all(): Promise<Plan[]> {
    return (await this.#sql.all('SELECT * FROM plans ORDER BY created_us DESC, id')).map(planOf);
  }

  async one(id: string): Promise<PlanDetail | null> {
    const row = await this.#sql.get('SELECT * FROM plans WHERE id = $1', id);
    if (row === undefined) return null;
    const waves = await this.#waves(id);
    return {
      ...planOf(row),
      waves: waves.slice(0, MAX_WAVES),
      wave_count: waves.length,
      refusals: await this.#refusals(id),
    };
  }

  async steps(id: string, { states, group, wave, after, limit }: StepQuestion): Promise<PlanStep[]> {
    const values: SqlValue[] = [id, after?.wave ?? -1, after?.group ?? '', after?.position ?? -1, limit];
    const value = (given: SqlValue) => `$${values.push(given)}`;
    const conditions = [
      'plan = $1 AND (wave, group_name, position) > ($2, $3, $4)',
      ...(states === null
        ? []
        : [states.length === 0 ? 'FALSE' : `state IN (${states.map(value).join(', ')})`]),
      ...(group === null ? [] : [`group_name = ${value(group)}`]),
      ...(wave === null ? [] : [`wave = ${value(wave)}`]),
    ];
    const rows = await this.#sql.all(
      `SELECT CAST(step AS TEXT) AS step FROM plan_steps WHERE ${conditions.join(' AND ')}
       ORDER BY wave, group_name, position LIMIT $5`,
      ...values,
    );
    return rows.map(({ step }) => stepOf(String(step)));
  }

  /** Returns the plans whose latest report has a number above this one, in the order of the reports. */
  async changedSince(change: number): Promise<ChangedPlan[]> {
    const rows = await this.#sql.all('SELECT * FROM plans WHERE change > $1 ORDER BY change', change);
    return rows.map((row) => ({
      change: Number(row['change']),
      plan: planOf(row),
      hasMore: row['has_more'] === 1,
    }));
  }

  /** Returns whether the plan was reported again since its report with this number. */
  async hasChangedSince(id: string, change: number): Promise<boolean> {
    const text = 'SELECT 1 AS found FROM plans WHERE id = $1 AND change > $2';
    return (await this.#sql.get(text, id, change)) !== undefined;
  }

  /**
   * Returns the plans that go on, and of which nobody has reported for a while. Nobody watches their changes, or nobody
   * who could tell this collector.
   */
  async unattended(nowMs: number): Promise<Plan[]> {
    const rows = await this.#sql.all(
      "SELECT * FROM plans WHERE phase IN ('running', 'paused') AND reported_us < $1 ORDER BY id",
      (nowMs - CARRIED_OUT_MS) * 1000,
    );
    return rows.map(planOf);
  }

  /** Returns the steps of a plan that entered a roll-back, or were held, after this time. */
  async stepsSince(id: string, kind: 'undone' | 'held', sinceUs: number): Promise<StepEntry[]> {
    const column = kind === 'undone' ? 'undone_us' : 'held_us';
    const rows = await this.#sql.all(
      `SELECT CAST(step AS TEXT) AS step, ${column} AS at, undone_us FROM plan_steps
       WHERE plan = $1 AND ${column} > $2 ORDER BY position`,
      id,
      sinceUs,
    );
    return rows.map(({ step, at, undone_us }) => ({
      atUs: Number(at),
      wasUndone: undone_us !== null,
      step: stepOf(String(step)),
    }));
  }

  /**
   * Returns the plans that processes carry out now, but for `except`, and whose step for the target is not at its end. A
   * plan whose process has not reported for a while is carried out by nobody.
   */
  async underWayFor(
    { type, account, region, id }: PlanTargetQuestion,
    except: string,
    nowMs: number,
  ): Promise<string[]> {
    const final = FINAL_PLAN_STEP_STATES.map((_, index) => `$${index + 7}`).join(', ');
    const rows = await this.#sql.all(
      `SELECT DISTINCT plan FROM plan_steps WHERE plan IN (
         SELECT id FROM plans WHERE is_carried_out = 1 AND reported_us >= $1 AND id <> $2)
       AND state NOT IN (${final}) AND step -> 'target' ->> 'type' = $3
       AND step -> 'target' ->> 'account' = $4 AND step -> 'target' ->> 'region' = $5
       AND step -> 'target' ->> 'id' IS NOT DISTINCT FROM $6 ORDER BY plan`,
      (nowMs - CARRIED_OUT_MS) * 1000,
      except,
      type,
      account,
      region,
      id,
      ...FINAL_PLAN_STEP_STATES,
    );
    return rows.map(({ plan }) => String(plan));
  }

  /** Returns a text that changes with the confirmed hosts. */
  async confirmedVersion(): Promise<string> {
    const row = await this.#sql.get(
      'SELECT count(*) AS hosts, max(confirmed_us) AS confirmed, max(drifted_us) AS drifted FROM confirmed_hosts',
    );
    return JSON.stringify(row);
  }

  async confirmedHosts(): Promise<ConfirmedHost[]> {
    const rows = await this.#sql.all(
      `SELECT host_id AS "hostId", plan, step, confirmed_us AS "confirmedUs", drifted_us AS "driftedUs"
       FROM confirmed_hosts ORDER BY host_id`,
    );
    return rows.map((row) => ({ ...row })) as unknown as ConfirmedHost[];
  }

  async #waves(id: string): Promise<PlanWave[]> {
    const rows = (await this.#sql.all(
      `SELECT wave, group_name, role, state, count(*) AS steps, min(position) AS first FROM plan_steps
       WHERE plan = $1 GROUP BY wave, group_name, role, state ORDER BY wave, group_name, role`,
      id,
    )) as unknown as {
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

  async #refusals(id: string): Promise<PlanDetail['refusals']> {
    const rows = (await this.#sql.all(
      `SELECT host, caller_id, caller, at, count(*) FILTER (WHERE state IN ('rolling_back', 'rolled_back')) AS rolled_back,
         count(*) FILTER (WHERE state = 'held') AS held
       FROM (SELECT state, step -> 'refusal' ->> 'host' AS host, step -> 'refusal' ->> 'caller_id' AS caller_id,
           step -> 'refusal' ->> 'caller' AS caller, step -> 'refusal' ->> 'at' AS at
         FROM plan_steps WHERE plan = $1 AND step ->> 'refusal' IS NOT NULL) AS refusals
       GROUP BY host, caller_id, caller, at
       ORDER BY at, host, caller_id NULLS FIRST LIMIT ${MAX_REFUSALS}`,
      id,
    )) as unknown as PlanDetail['refusals'];
    return rows.map((row) => ({ ...row, at: sixDigits(row.at) }));
  }
}

function planOf(row: SqlRow): Plan {
  const time = (us: SqlValue | undefined) => (us === null ? null : toTimestamp(Number(us)));
  const text = (value: SqlValue | undefined) => value as string | null;
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
