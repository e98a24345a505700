/** Chooses the role of an account. Pure. */
import { OperatorError } from '../../common/operator_error.ts';

/** ARN of a role (IAM user guide, "IAM ARNs"): the partition may be `aws-cn` or `aws-us-gov`. */
const ROLE_ARN = /^arn:aws[a-z-]*:iam::(\d{12}):role\/[\w+=.@/-]{1,512}$/;

/** Throws `OperatorError` (2) for a text that is no ARN of a role. */
export function accountOfRole(arn: string): string {
  const account = ROLE_ARN.exec(arn)?.[1];
  if (account === undefined) {
    throw new OperatorError(
      2,
      `${JSON.stringify(arn)} is not the ARN of a role. Use "arn:aws:iam::ACCOUNT:role/NAME".`,
    );
  }
  return account;
}

/** Returns null where the operator's own credentials are used. Throws `OperatorError` (2). */
export function roleOf(roles: readonly string[], account: string | null): string | null {
  if (account === null) return null;
  const matching = roles.filter((arn) => accountOfRole(arn) === account);
  if (matching.length > 1) {
    throw new OperatorError(
      2,
      `Two roles are given for the account ${account}: ${matching.join(', ')}. Give one.`,
    );
  }
  return matching[0] ?? null;
}
