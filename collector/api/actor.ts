/** Who does what an admin may: for the audit log. */
import type { Context } from 'hono';
import type { Actor } from '../access/principal.ts';
import type { ApiEnv } from './env.ts';

/** Only behind `authorize`: there is a principal. */
export function actorOf(c: Context<ApiEnv>): Actor {
  return { name: c.get('principal')!.name, sourceAddress: c.get('address') };
}
