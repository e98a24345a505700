/** Options of the sign-in by OpenID Connect, as the settings give them. */
import type { GroupRoles } from '../group_roles.ts';

export interface OidcOptions {
  /** Address of the provider, as its tokens name it. */
  issuer: string;
  clientId: string;
  clientSecret: string;
  scopes: readonly string[];
  /** Claim that has the groups of a person. */
  groupsClaim: string;
  groups: GroupRoles;
  /** Name of the provider on the page. */
  name: string;
  /** A session ends after this time, so that the groups of the person are read again. */
  sessionMs: number;
  /** Address by which people reach the collector, without a slash at its end. */
  publicUrl: string;
  /** True if people reach the collector over TLS. */
  secure: boolean;
}

/** Path at which a person begins to sign in. The query `return_to` is the path to come back to. */
export const BEGIN_PATH = '/sign-in/oidc';
/** Path to which the provider sends the person back. */
export const CALLBACK_PATH = '/sign-in/oidc/callback';
/** Path to which the provider sends the person after signing out. */
export const SIGNED_OUT_PATH = '/sign-in';
