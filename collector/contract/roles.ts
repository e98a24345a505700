/** The roles of people, without schemas, so that the page can use them too. */

/** Each role may do what those before it may. */
export const ROLES = ['viewer', 'auditor', 'admin'] as const;
export type Role = (typeof ROLES)[number];

/** Tells whether a role may do what `needed` may. */
export function hasRole(own: Role, needed: Role): boolean {
  return ROLES.indexOf(own) >= ROLES.indexOf(needed);
}
