/** Identities after authentication by a token, a session, a client certificate or a trusted proxy. */
import { OperatorError } from '../../common/operator_error.ts';
import type { Role } from '../contract/administration.ts';
import type { Sight } from '../contract/host_scope.ts';

/** A role, and the hosts that whoever has it may see. Only a viewer has a scope. */
export interface Grant {
  role: Role;
  scope: Sight;
}

/** A person, or a program that uses the API with a person's token. */
export interface Principal extends Grant {
  /** Name in the audit log and on the page. */
  name: string;
  /**
   * Browsers send `session` and `proxy` without being asked, so such requests may change something only from
   * our own page.
   */
  via: 'token' | 'session' | 'proxy';
  /**
   * Id of the token behind this identity, which can be revoked. Null for the user of a proxy and for a
   * sign-in code.
   */
  tokenId: string | null;
}

/**
 * An agent that may connect. With `hostId` it reports for that host only. Without, it sent an enrolment
 * token, and gets a credential for the host that its `hello` names, unless that host has one already.
 */
export type AgentIdentity =
  | { hostId: string; via: 'credential' | 'certificate' }
  | { hostId: null; via: 'enrolment' };

/** Reserved beginning of names: no token or user can have such a name. */
export const COMMAND_PREFIX = 'command:';

/**
 * The person or program behind an action in the audit log. `command:USER` has access to the files of the
 * store.
 */
export interface Actor {
  name: string;
  sourceAddress: string | null;
}

/** Refuses a scope for anybody but a viewer. Throws `OperatorError` (exit code 2). */
export function checkScope(scope: Sight, role: Role | undefined): void {
  if (scope === null || role === 'viewer') return;
  throw new OperatorError(
    2,
    `Only the role viewer can have a scope, not ${role ?? 'a token of another kind'}: whoever manages or audits sees the whole fleet. Leave the scope out, or use the role viewer.`,
  );
}
