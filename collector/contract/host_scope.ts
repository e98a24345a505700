/** Schemas of the hosts that a viewer may see, where that is not the whole fleet. */
import * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';

const MAX_VALUES = 100;
const tagValue = z.string().max(500);

/**
 * Hosts of one of these accounts that have, for each of these keys, one of the values. What counts is what a host
 * reports now.
 */
export const hostScope = z
  .strictObject({
    accounts: z.array(z.string().min(1).max(200)).min(1).max(MAX_VALUES).optional(),
    tags: z.record(z.string().min(1).max(200), z.array(tagValue).min(1).max(MAX_VALUES)).optional(),
  })
  .refine(
    ({ accounts, tags }) => accounts !== undefined || (tags !== undefined && Object.keys(tags).length > 0),
    'must name accounts or tags',
  );

/** A host is in the scope of a viewer where it matches one of these. */
export const viewScope = z.array(hostScope).min(1).max(MAX_VALUES);

export type HostScope = z.infer<typeof hostScope>;
export type ViewScope = z.infer<typeof viewScope>;

/** The scope of whoever asks; null for the whole fleet. */
export type Sight = ViewScope | null;

/**
 * Reads conditions such as `account:111122223333` and `tag:team:payments`. Conditions about the same thing are
 * alternatives, others must all hold. Throws `OperatorError` (exit code 2).
 */
export function scopeOfConditions(conditions: readonly string[]): HostScope {
  const accounts: string[] = [];
  const tags = new Map<string, string[]>();
  for (const condition of conditions) {
    const tag = /^tag:([^:]+):(.*)$/.exec(condition);
    const account = /^account:(.+)$/.exec(condition)?.[1];
    // A key of this name would be lost, and the scope be wider than it says.
    if (tag !== null && tag[1] !== '__proto__') tags.set(tag[1]!, [...(tags.get(tag[1]!) ?? []), tag[2]!]);
    else if (account !== undefined) accounts.push(account);
    else {
      throw new OperatorError(
        2,
        `"${condition}" is no condition of a scope. Write account:ID or tag:KEY:VALUE, such as account:111122223333 or tag:team:payments.`,
      );
    }
  }
  const found = hostScope.safeParse({
    ...(accounts.length > 0 && { accounts }),
    ...(tags.size > 0 && { tags: Object.fromEntries(tags) }),
  });
  if (found.success) return found.data;
  throw new OperatorError(2, `The scope is not valid: ${found.error.issues[0]!.message}.`);
}
