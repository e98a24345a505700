/** The permissions of roles, in one place for their enforcement and for the OpenAPI document. */
import type { IncomingMessage } from 'node:http';
import type { MiddlewareHandler } from 'hono';
import type { TokenBuckets } from '../../common/token_bucket.ts';
import { NoRoleError } from '../access/group_roles.ts';
import type { Principal } from '../access/principal.ts';
import { hasRole, type Role } from '../contract/roles.ts';
import type { ApiEnv } from './env.ts';
import type { ApiAccess, ApiParts } from './parts.ts';
import { API_PREFIX, isApiPath } from './paths.ts';
import { Problem } from './problem.ts';
import { refusalOfScoped } from './scoped_routes.ts';

const SESSION_PATH = `${API_PREFIX}/session`;
const SIGN_IN_WAYS_PATH = `${API_PREFIX}/sign-in-ways`;
const ADMIN_READS = ['tokens', 'alert/destinations', 'owner-rules'].map((name) => `${API_PREFIX}/${name}`);
const AUDITOR_READS = [`${API_PREFIX}/audit`];
/** Questions that are too long for an address, and change nothing. */
export const READING_POSTS = ['hosts', 'calls', 'watched'].map((name) => `${API_PREFIX}/enforcement/${name}`);
const CHANGING = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const HEALTH_PATHS = new Set(['/healthz', '/readyz']);

/**
 * Returns the role that a request needs, null if it needs no authentication. A path that is not listed here
 * needs a viewer, and a request that changes something needs an admin, so that a forgotten route is closed.
 */
export function requiredRole(method: string, path: string): Role | null {
  if (HEALTH_PATHS.has(path)) return null;
  if (path === SESSION_PATH && CHANGING.has(method)) return null;
  if (path === SIGN_IN_WAYS_PATH && !CHANGING.has(method)) return null;
  if (!isApiPath(path)) return null;
  if (method === 'POST' && READING_POSTS.includes(path)) return 'viewer';
  if (CHANGING.has(method)) return 'admin';
  const isAmong = (reads: readonly string[]) =>
    reads.some((read) => path === read || path.startsWith(`${read}/`));
  if (isAmong(ADMIN_READS)) return 'admin';
  return isAmong(AUDITOR_READS) ? 'auditor' : 'viewer';
}

/**
 * Authenticates a request and applies the rate limits: by principal, or by address without authentication.
 * Health checks have a limit of their own, so that a flood of other requests from the same address does not
 * make the collector look dead.
 */
export function identify(
  { access }: Pick<ApiParts, 'access'>,
  { principals, addresses, health }: Record<'principals' | 'addresses' | 'health', TokenBuckets>,
): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const principal = await principalOfRequest(access, c.env.incoming).catch((error: unknown) => {
      // Health checks and the page itself need nobody's identity, and work while the database does not.
      if (requiredRole(c.req.method, c.req.path) === null) return null;
      throw error instanceof NoRoleError ? new Problem(403, error.message) : error;
    });
    const { headers, socket } = c.env.incoming;
    const address = access.clientAddress(headers, socket.remoteAddress) ?? 'unknown';
    const seconds = HEALTH_PATHS.has(c.req.path)
      ? health.tryTake(address)
      : principal === null
        ? addresses.tryTake(address)
        : principals.tryTake(personKeyOf(principal));
    if (seconds > 0) {
      throw new Problem(429, `Too many requests. Try again in ${seconds} s.`, {
        headers: { 'Retry-After': String(seconds) },
      });
    }
    if (principal !== null) c.env.onAuthenticated?.(personKeyOf(principal));
    c.set('principal', principal);
    c.set('address', address);
    await next();
  };
}

/** Returns one key for all requests of a person that are authenticated in the same way. */
function personKeyOf({ via, role, scope, name }: Principal): string {
  return `${via} ${role} ${name}${scope === null ? '' : ` ${JSON.stringify(scope)}`}`;
}

export function principalOfRequest(
  access: Pick<ApiAccess, 'identifyUser'>,
  { headers, socket }: IncomingMessage,
) {
  return access.identifyUser({
    authorization: headers.authorization,
    cookie: headers.cookie,
    headers,
    remoteAddress: socket.remoteAddress,
  });
}

/** Refuses requests whose principal lacks the role, and changes that do not come from our own page. */
export function authorize({ access }: Pick<ApiParts, 'access'>): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const { method, path } = c.req;
    const principal = c.get('principal');
    const needed = requiredRole(method, path);
    if (needed !== null) {
      if (principal === null) {
        throw new Problem(
          401,
          'Sign in with a token, at the identity provider of the page if it has one, or with the link that "imdswatch token sign-in-link" prints.',
          { headers: { 'WWW-Authenticate': 'Bearer realm="imdswatch"' } },
        );
      }
      if (!hasRole(principal.role, needed)) {
        throw new Problem(
          403,
          `This needs the role ${needed}, but ${principal.name} has the role ${principal.role}. Ask an admin.`,
        );
      }
      const refusal = principal.scope === null ? null : refusalOfScoped(path);
      if (refusal !== null) throw new Problem(403, refusal);
    }
    if (CHANGING.has(method) && !access.mayChange(principal, c.env.incoming.headers)) {
      throw new Problem(
        403,
        'A request that changes something must come from the page of this collector, or carry a token.',
      );
    }
    await next();
  };
}
