/** Reads the name and the groups of a person from the claims of a provider. */
import { COMMAND_PREFIX } from '../principal.ts';

export type Claims = Readonly<Record<string, unknown>>;

/** `omitted`: the person has groups, and Entra ID left them out of the token because they are too many. */
export type FoundGroups = { groups: string[] } | 'omitted' | 'missing';

const MAX_NAME_CHARACTERS = 200;
const MAX_GROUPS = 10_000;

/**
 * Returns the groups in a claim. The claim can be inside of others, as `realm_access.roles` is. A single text is one
 * group. An address in `email` counts only if the provider has verified it, because a person may have chosen it.
 *
 * Entra ID leaves the claim out above 200 groups, and names it in `_claim_names`, or says `hasgroups`
 * (https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference, "Groups overage claim").
 */
export function groupsOf(claims: Claims, claim: string): FoundGroups {
  const value = claimAt(claims, claim);
  if (value === undefined || value === null) {
    const elsewhere = claims['_claim_names'];
    const isElsewhere =
      typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, claim);
    const hasGroups = claims['hasgroups'];
    return isElsewhere || (claim === 'groups' && (hasGroups === true || hasGroups === 'true'))
      ? 'omitted'
      : 'missing';
  }
  if (claim === 'email' && claims['email_verified'] !== true) return { groups: [] };
  const values = Array.isArray(value) ? value.slice(0, MAX_GROUPS) : [value];
  return { groups: values.filter((each) => typeof each === 'string' && each !== '') };
}

function claimAt(claims: Claims, claim: string): unknown {
  if (Object.hasOwn(claims, claim)) return claims[claim];
  let value: unknown = claims;
  for (const name of claim.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Claims)[name];
  }
  return value;
}

/**
 * Returns the name for the page and the audit log: the user name, else the address, else the subject. It decides
 * nothing. The audit log also has the subject, which is the only claim that never belongs to another person.
 */
export function nameOf(claims: Claims): string {
  const named = ['preferred_username', 'email'].map((each) => claims[each]).find(isName);
  return named ?? `subject ${subjectOf(claims)}`;
}

/** Returns the subject, in a form that is fit for a log. */
export function subjectOf(claims: Claims): string {
  return JSON.stringify(String(claims['sub']).slice(0, 255));
}

/** Refuses names that the audit log has for others: commands, links, and the collector itself. */
function isName(value: unknown): value is string {
  return (
    typeof value === 'string' &&
    /^\S/.test(value) &&
    value.length <= MAX_NAME_CHARACTERS &&
    !/\p{C}/u.test(value) &&
    !value.startsWith(COMMAND_PREFIX) &&
    !/^(?:collector$|subject |sign-in link of )/.test(value)
  );
}
