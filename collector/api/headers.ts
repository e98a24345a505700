/** Headers of every answer: what a browser may do with it. */
import type { MiddlewareHandler } from 'hono';
import type { ApiEnv } from './env.ts';
import { isApiPath } from './paths.ts';

/** The page brings all it needs; nothing inline, nothing from elsewhere, nobody frames it. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ');
const HSTS_MAX_AGE_SECONDS = 365 * 24 * 3600;

export function securityHeaders(tls: boolean): MiddlewareHandler<ApiEnv> {
  return async (c, next) => {
    await next();
    const { headers } = c.res;
    headers.set('Content-Security-Policy', CONTENT_SECURITY_POLICY);
    headers.set('X-Content-Type-Options', 'nosniff');
    headers.set('X-Frame-Options', 'DENY');
    headers.set('Referrer-Policy', 'no-referrer');
    headers.set('Cross-Origin-Opener-Policy', 'same-origin');
    headers.set('Cross-Origin-Resource-Policy', 'same-origin');
    headers.set('Permissions-Policy', 'camera=(), microphone=(), geolocation=(), payment=()');
    // Only over TLS: browsers ignore it elsewhere (RFC 6797 section 7.2).
    if (tls) headers.set('Strict-Transport-Security', `max-age=${HSTS_MAX_AGE_SECONDS}`);
    if (isApiPath(c.req.path) || !headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store');
  };
}
