/** Keeps the hosts whose change was confirmed by a plan. They outlive their plan, so that drift is noticed for good. */
import type { PlanStepReport } from '../../protocol/plan_report.ts';
import { toMicroseconds } from '../store/time.ts';
import type { AdminSql } from './admin_sql.ts';
import { AuditLog } from './audit_log.ts';

/** Beyond this number the hosts that were confirmed first are left out, which the audit log says. */
const MAX_HOSTS = 200_000;

/** A host on which a plan has required tokens. Times are microseconds since 1970. */
export interface ConfirmedHost {
  hostId: string;
  plan: string;
  step: string;
  confirmedUs: number;
  /** When the plan's process read that somebody has undone the change; null: it did not. */
  driftedUs: number | null;
}

/** A host follows the latest step that requires tokens on it: confirmed, drifted, or rolled back. */
export async function keepConfirmedHosts(
  sql: AdminSql,
  plan: string,
  steps: readonly PlanStepReport[],
  nowMs: number,
): Promise<void> {
  let isMore = false;
  for (const { id: step, target, change, state, since } of steps) {
    if (target.type !== 'instance' || target.id === null || since === null) continue;
    if (change.http_tokens !== 'required') continue;
    const us = toMicroseconds(since);
    if (state === 'confirmed') {
      const changes = await sql.run(
        `INSERT INTO confirmed_hosts (host_id, plan, step, confirmed_us, drifted_us) VALUES ($1, $2, $3, $4, NULL)
         ON CONFLICT (host_id) DO UPDATE SET plan = excluded.plan, step = excluded.step,
           confirmed_us = excluded.confirmed_us, drifted_us = NULL
         WHERE excluded.confirmed_us > confirmed_hosts.confirmed_us`,
        target.id,
        plan,
        step,
        us,
      );
      isMore ||= changes > 0;
    } else if (state === 'rolling_back' || state === 'rolled_back') {
      await sql.run('DELETE FROM confirmed_hosts WHERE host_id = $1 AND confirmed_us < $2', target.id, us);
    } else if (state === 'drifted') {
      await sql.run(
        'UPDATE confirmed_hosts SET drifted_us = $1 WHERE host_id = $2 AND plan = $3 AND step = $4',
        us,
        target.id,
        plan,
        step,
      );
    }
  }
  if (isMore) await leaveOutOldest(sql, nowMs);
}

async function leaveOutOldest(sql: AdminSql, nowMs: number): Promise<void> {
  const hosts = Number((await sql.get('SELECT count(*) AS hosts FROM confirmed_hosts'))?.['hosts']);
  if (hosts <= MAX_HOSTS) return;
  await sql.run(
    `DELETE FROM confirmed_hosts WHERE host_id IN
       (SELECT host_id FROM confirmed_hosts ORDER BY confirmed_us, host_id LIMIT $1)`,
    hosts - MAX_HOSTS,
  );
  const detail = `Drift is noticed on ${MAX_HOSTS} hosts at most. ${hosts - MAX_HOSTS} that were confirmed first are left out.`;
  await new AuditLog(sql).append(
    { actor: 'collector', action: 'plan.forget_hosts', subject: 'plans', detail, source_address: null },
    nowMs,
  );
}
