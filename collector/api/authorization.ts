/** Who may do what: in one place, for the enforcement and for the OpenAPI document. */
import type { IncomingMessage } from 'node:http';
import type { MiddlewareHandler } from 'hono';
import type { TokenBuckets } from '../../common/token_bucket.ts';
import type { Principal } from '../access/principal.ts';
import type { Role } from '../contract/administration.ts';
import type { ApiEnv } from './env.ts';
import type { ApiAccess, ApiParts } from './parts.ts';
import { API_PREFIX, isApiPath } from './paths.ts';
import { Problem } from './problem.ts';

const SESSION_PATH = `${API_PREFIX}/session`;
const ADMIN_READS = [`${API_PREFIX}/tokens`, `${API_PREFIX}/audit`, `${API_PREFIX}/alert/destinations`];
const CHANGING = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);
const HEALTH_PATHS = new Set(['/healthz', '/readyz']);

/**
 * Role that a request needs; null for nobody in particular. Whatever is not listed as open needs a viewer, and
 * whatever changes something needs an admin: a route that somebody forgot is closed.
 */
export function requiredRole(method: string, path: string): Role | null {
  if (HEALTH_PATHS.has(path)) return null;
  if (path === SESSION_PATH && CHANGING.has(method)) return null;
  if (!isApiPath(path)) return null;
  if (CHANGING.has(method)) return 'admin';
  return ADMIN_READS.some((read) => path === read || path.startsWith(`${read}/`)) ? 'admin' : 'viewer';
}

/**
 * Finds out who asks. Each may ask only so often: as who they are, or by their address where nobody knows. Health checks have a limit
 * of their own: a flood of other requests from the same address does not make the collector look dead.
 */
export function identify(
  { access }: Pick<ApiParts, 'access'>,
  { principals, addresses, health }: Record<'principals' | 'addresses' | 'health', TokenBuckets>,
): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const principal = principalOfRequest(access, c.env.incoming);
    const { headers, socket } = c.env.incoming;
    const address = access.clientAddress(headers, socket.remoteAddress) ?? 'unknown';
    const seconds = HEALTH_PATHS.has(c.req.path)
      ? health.tryTake(address)
      : principal === null
        ? addresses.tryTake(address)
        : principals.tryTake(personOf(principal));
    if (seconds > 0) {
      throw new Problem(429, `Too many requests; come again in ${seconds} s.`, {
        headers: { 'Retry-After': String(seconds) },
      });
    }
    if (principal !== null) c.env.shown?.(personOf(principal));
    c.set('principal', principal);
    c.set('address', address);
    await next();
  };
}

/** Returns one key for all requests that a person makes by the same way of signing in. */
function personOf({ via, role, name }: Principal): string {
  return `${via} ${role} ${name}`;
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

/** Lets through who may. */
export function authorize({ access }: Pick<ApiParts, 'access'>): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    const { method, path } = c.req;
    const principal = c.get('principal');
    const needed = requiredRole(method, path);
    if (needed !== null) {
      if (principal === null) {
        throw new Problem(
          401,
          'Sign in with a token, or by the link that "imdswatch token sign-in-link" prints.',
          { headers: { 'WWW-Authenticate': 'Bearer realm="imdswatch"' } },
        );
      }
      if (needed === 'admin' && principal.role !== 'admin') {
        throw new Problem(
          403,
          `This needs the role admin; ${principal.name} has the role ${principal.role}.`,
        );
      }
    }
    if (CHANGING.has(method) && !access.mayChange(principal, c.env.incoming.headers)) {
      throw new Problem(403, 'What changes something is only taken from the page of this collector itself.');
    }
    await next();
  };
}
