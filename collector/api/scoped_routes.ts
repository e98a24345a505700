/** The routes that a viewer with a scope may ask. Every other route is closed to it, so that a forgotten one is. */
import { API_PREFIX } from './paths.ts';

/** Answers that have nothing of any host. */
const WITHOUT_HOSTS = ['/session', '/openapi.json', '/retention', '/storage'];

/**
 * Returns null where a viewer with a scope may ask, else the reason why not. The page, health checks and signing in need
 * no role, and are open to everybody.
 */
export function refusalOfScoped(path: string): string | null {
  const own = path.startsWith(API_PREFIX) ? path.slice(API_PREFIX.length) : null;
  if (own !== null && WITHOUT_HOSTS.includes(own)) return null;
  return 'It is about the whole fleet, and you may see a part of it. Ask an admin for a role without a scope.';
}
