/** Schemas of signing in and of the user who is signed in. */
import * as z from 'zod';
import { role } from './administration.ts';
import { viewScope } from './host_scope.ts';
import { time } from './window.ts';

/** `secret`: a person's token, or the one-time code of a sign-in link. */
export const signIn = z.object({ secret: z.string().min(1).max(500) });

export const session = z.object({
  name: z.string(),
  role,
  /** The hosts that this viewer may see; null for the whole fleet. */
  scope: viewScope.nullable(),
  /** `proxy`: signed in at the reverse proxy; there is nothing to sign out of here. */
  via: z.enum(['token', 'session', 'proxy']),
});

/** Ways of signing in besides tokens and links. */
export const signInWays = z.object({
  /** The button of the identity provider: its name, and the path of the page that leads there. Null without a provider. */
  oidc: z.object({ name: z.string(), path: z.string() }).nullable(),
});

/** Address at which the person also signs out of the identity provider. */
export const signedOut = z.object({ provider_url: z.url() });

/** `expires`: at the latest; a session that nobody uses ends earlier. */
export const newSession = session.extend({ expires: time });

export type Session = z.infer<typeof session>;
export type SignInWays = z.infer<typeof signInWays>;
export type SignedOut = z.infer<typeof signedOut>;
export type NewSession = z.infer<typeof newSession>;
