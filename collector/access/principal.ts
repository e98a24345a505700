/** Who somebody is to the collector, once a token, a session, a client certificate or a trusted proxy has said so. */
import type { Role } from '../contract/administration.ts';

/** A person, or a program that uses the API with a person's token. */
export interface Principal {
  /** For the audit log and the page. */
  name: string;
  role: Role;
  /** `session` and `proxy` are shown by the browser by itself: what they ask to change must come from our own page. */
  via: 'token' | 'session' | 'proxy';
  /** Id of the token that this rests on, to be held against what is revoked; null for a proxy's user and a sign-in code. */
  tokenId: string | null;
}

/**
 * An agent that may connect. With `hostId` it speaks for that host only; without, it has shown an enrolment token and gets a
 * credential of its own for the host that its `hello` names, unless that host has one already.
 */
export type AgentIdentity =
  | { hostId: string; via: 'credential' | 'certificate' }
  | { hostId: null; via: 'enrolment' };

/** Nobody else's name begins like this. */
export const COMMAND_PREFIX = 'command:';

/** Who did something, for the audit log. `command:USER` is somebody with access to the store's files. */
export interface Actor {
  name: string;
  sourceAddress: string | null;
}
