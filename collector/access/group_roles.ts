/** Decides by the groups of a person, which an identity provider or a proxy names, what the person may do. */
import { OperatorError } from '../../common/operator_error.ts';
import { type HostScope, scopeOfConditions } from '../contract/host_scope.ts';
import type { Grant } from './principal.ts';

export interface GroupRoles {
  admins: readonly string[];
  auditors: readonly string[];
  viewers: readonly string[];
  /** Groups of viewers who see some hosts only. A group may stand here several times. */
  scoped: readonly ScopedGroup[];
}

export interface ScopedGroup {
  group: string;
  scope: HostScope;
}

/**
 * Returns what the groups of a person permit: the highest role counts, and the whole fleet before a scope. The scopes of
 * several groups add up. Null where no group has a role. Names of groups are compared exactly.
 */
export function grantOf(
  groups: readonly string[],
  { admins, auditors, viewers, scoped }: GroupRoles,
): Grant | null {
  const own = new Set(groups);
  const isIn = (list: readonly string[]) => list.some((group) => own.has(group));
  if (isIn(admins)) return { role: 'admin', scope: null };
  if (isIn(auditors)) return { role: 'auditor', scope: null };
  if (isIn(viewers)) return { role: 'viewer', scope: null };
  const scope = scoped.flatMap(({ group, scope: each }) => (own.has(group) ? [each] : []));
  return scope.length === 0 ? null : { role: 'viewer', scope };
}

/**
 * Reads `GROUP=CONDITION&CONDITION`, such as `payments=account:111122223333&tag:team:payments`. Throws `OperatorError`
 * (exit code 2).
 */
export function readScopedGroup(text: string): ScopedGroup {
  const found = /^(.+?)=((?:account|tag):.+)$/.exec(text);
  if (found === null) {
    throw new OperatorError(
      2,
      `"${text}" is no group with a scope. Write GROUP=CONDITION&CONDITION, such as payments=account:111122223333&tag:team:payments.`,
    );
  }
  return { group: found[1]!, scope: scopeOfConditions(found[2]!.split('&')) };
}

const MAX_NAMED = 30;

/** Lists groups for a person who has to tell an admin about them. */
export function groupsText(groups: readonly string[]): string {
  if (groups.length === 0) return 'no group';
  const named = groups.slice(0, MAX_NAMED).map((group) => JSON.stringify(group.slice(0, 200)));
  const rest = groups.length - named.length;
  return `${groups.length === 1 ? 'the group' : 'the groups'} ${named.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/** Somebody is known and has no role. The message is for this person, and for the admin who gets it. */
export class NoRoleError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'NoRoleError';
  }
}
