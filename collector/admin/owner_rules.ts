/**
 * The rules that admins set for the owners of workloads. They are one row of settings, so that releases with and without
 * them use the same database. Every change is in the audit log.
 */
import * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { cutText } from '../../protocol/text_bounds.ts';
import type { OwnerRulesChange } from '../contract/owner.ts';
import type { AdminSql } from './admin_sql.ts';
import { AuditLog } from './audit_log.ts';
import { StoredSettings } from './stored_settings.ts';

const KEY = 'owner_rules';
/** Longest text of a change in the audit log. */
const MAX_DETAIL_CHARACTERS = 2000;

const row = z.object({
  version: z.int(),
  rules: z.array(z.string()),
  changedMs: z.number(),
  changedBy: z.string(),
});
export type StoredOwnerRules = z.infer<typeof row>;

/** The question for the row, also for a database that is opened for reading. */
export const OWNER_RULES_QUESTION = `SELECT value FROM settings WHERE key = '${KEY}'`;

/** Somebody else has changed the rules meanwhile. Nothing was stored. */
export class RulesChangedError extends OperatorError {
  constructor(given: number, now: number) {
    super(
      1,
      `The owner rules have version ${now}, not ${given}: somebody has changed them meanwhile. Read them again, and repeat the change.`,
    );
    this.name = 'RulesChangedError';
  }
}

export class OwnerRuleRows {
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
  }

  /** Returns null where nobody ever set rules. */
  async read(): Promise<StoredOwnerRules | null> {
    return storedOwnerRules(await new StoredSettings(this.#sql).get(KEY));
  }

  /**
   * Replaces the rules, which must be readable. Throws `RulesChangedError` where `version` is not that of the stored rules.
   */
  async change(
    { rules, version }: OwnerRulesChange,
    by: { name: string; sourceAddress: string | null },
    nowMs: number,
  ): Promise<StoredOwnerRules> {
    return this.#sql.transaction('settings', async (sql) => {
      const before = await new OwnerRuleRows(sql).read();
      const current = before?.version ?? 0;
      if (version !== undefined && version !== current) throw new RulesChangedError(version, current);
      const next = { version: current + 1, rules: [...rules], changedMs: nowMs, changedBy: by.name };
      await new StoredSettings(sql).put(KEY, next);
      await new AuditLog(sql).append(
        {
          actor: by.name,
          action: 'owner_rules.set',
          subject: 'owner_rules',
          detail: describeChange(before?.rules ?? [], rules),
          source_address: by.sourceAddress,
        },
        nowMs,
      );
      return next;
    });
  }
}

/** Reads the value of the row; null where there is none. Throws for a damaged one. */
export function storedOwnerRules(value: unknown): StoredOwnerRules | null {
  return value === undefined ? null : row.parse(value);
}

function describeChange(before: readonly string[], after: readonly string[]): string {
  const added = after.filter((rule) => !before.includes(rule));
  const removed = before.filter((rule) => !after.includes(rule));
  const parts = [
    `${after.length} ${after.length === 1 ? 'rule' : 'rules'}`,
    ...(added.length === 0 ? [] : [`added ${added.join(', ')}`]),
    ...(removed.length === 0 ? [] : [`removed ${removed.join(', ')}`]),
    ...(added.length === 0 && removed.length === 0 ? ['in another order'] : []),
  ];
  const text = parts.join('; ');
  return cutText(text, MAX_DETAIL_CHARACTERS);
}
