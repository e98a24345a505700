/** Names the admin behind a request, for the audit log. */
import type { Context } from 'hono';
import type { Actor } from '../access/principal.ts';
import type { ApiEnv } from './env.ts';

/** Must be called behind `authorize`, which guarantees a principal. */
export function actorOf(c: Context<ApiEnv>): Actor {
  return { name: c.get('principal')!.name, sourceAddress: c.get('address') };
}
