/** Headers of every answer, which say what a browser may do with it. */
import type { MiddlewareHandler } from 'hono';
import { secureHeaders } from 'hono/secure-headers';
import type { ApiEnv } from './env.ts';
import { isApiPath } from './paths.ts';

const HSTS_MAX_AGE_SECONDS = 365 * 24 * 3600;

/**
 * The page brings all that it needs. Nothing is inline, nothing comes from another place, and nobody may
 * frame it.
 */
export function securityHeaders(tls: boolean): MiddlewareHandler<ApiEnv> {
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'", 'data:'],
      fontSrc: ["'self'"],
      connectSrc: ["'self'"],
      manifestSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors: ["'none'"],
    },
    xFrameOptions: 'DENY',
    permissionsPolicy: { camera: [], microphone: [], geolocation: [], payment: [] },
    // Only over TLS: browsers ignore it elsewhere (RFC 6797 section 7.2).
    strictTransportSecurity: tls ? `max-age=${HSTS_MAX_AGE_SECONDS}` : false,
    originAgentCluster: false,
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
}

/** Keeps answers of the API, and every answer that does not say otherwise, out of caches. */
export const noStore: MiddlewareHandler<ApiEnv> = async (c, next) => {
  await next();
  const { headers } = c.res;
  if (isApiPath(c.req.path) || !headers.has('Cache-Control')) headers.set('Cache-Control', 'no-store');
};
