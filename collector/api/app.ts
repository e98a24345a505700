/** The HTTP API: the middleware in its order, the routes, and the answers for unknown paths. */
import { OpenAPIHono, type OpenAPIHonoOptions } from '@hono/zod-openapi';
import type { MiddlewareHandler } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { type Rate, TokenBuckets } from '../../common/token_bucket.ts';
import { DatabaseUnavailableError, isConnectionLost } from '../store/postgres/database_errors.ts';
import { authorize, identify } from './authorization.ts';
import { dataSource } from './data_source.ts';
import { serveDocument } from './document.ts';
import type { ApiApp, ApiEnv } from './env.ts';
import { noStore, securityHeaders } from './headers.ts';
import { pageHandler } from './page.ts';
import type { ApiParts } from './parts.ts';
import { API_PREFIX, isApiPath } from './paths.ts';
import { type FieldError, Problem, problemResponse } from './problem.ts';
import { alertRoutes } from './routes/alerts.ts';
import { auditRoutes } from './routes/audit.ts';
import { callArrivalRoutes } from './routes/call_arrivals.ts';
import { callRoutes } from './routes/calls.ts';
import { cloudRoutes } from './routes/cloud.ts';
import { enforcementRoutes } from './routes/enforcement.ts';
import { groupRoutes } from './routes/groups.ts';
import { healthRoutes } from './routes/health.ts';
import { hostRoutes } from './routes/hosts.ts';
import { liveRoutes } from './routes/live.ts';
import { metricsRoutes } from './routes/metrics.ts';
import { offenderRoutes } from './routes/offenders.ts';
import { oidcRoutes } from './routes/oidc.ts';
import { overviewRoutes } from './routes/overview.ts';
import { ownerRoutes } from './routes/owners.ts';
import { planRoutes } from './routes/plans.ts';
import { progressRoutes } from './routes/progress.ts';
import { readinessRoutes } from './routes/readiness.ts';
import { retentionRoutes } from './routes/retention.ts';
import { sessionRoutes } from './routes/session.ts';
import { storageRoutes } from './routes/storage.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { triageRoutes } from './routes/triage.ts';

const MAX_BODY_BYTES = 64 * 1024;
/** The output of `describe-instances` for a large account has some megabytes. */
const MAX_CLOUD_BODY_BYTES = 16 * 1024 * 1024;
/** A report of 100 steps whose texts are as long as they may be, in UTF-8. */
const MAX_PLAN_BODY_BYTES = 1024 * 1024;
/** Twenty thousand ids of hosts. */
const MAX_ENFORCEMENT_BODY_BYTES = 1024 * 1024;

export interface Rates {
  /** Requests of one principal. A page sends a few requests at a time, a script one after the other. */
  principal: Rate;
  /**
   * Requests from one address without authentication: files of the page and sign-ins, and separately health
   * checks.
   */
  address: Rate;
}
const RATES: Rates = {
  principal: { perSecond: 100, burst: 500 },
  address: { perSecond: 20, burst: 100 },
};

/** Principals, or addresses, whose requests are counted at one time. */
const MAX_COUNTED = 10_000;

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

export function createApp(parts: ApiParts, rates: Rates = RATES): ApiApp {
  const app: ApiApp = new OpenAPIHono<ApiEnv>({ defaultHook: invalid });
  const principals = new TokenBuckets(rates.principal, MAX_COUNTED);
  const addresses = new TokenBuckets(rates.address, MAX_COUNTED);
  const health = new TokenBuckets(rates.address, MAX_COUNTED);
  parts.metrics.observeRateLimits(() => principals.refused + addresses.refused + health.refused);

  app.use(parts.metrics.middleware());
  app.use(securityHeaders(parts.tls));
  app.use(noStore);
  app.use(identify(parts, { principals, addresses, health }));
  app.use(authorize(parts));
  app.use(acceptableBody);
  app.use(dataSource);

  healthRoutes(app, parts);
  metricsRoutes(app, parts);
  sessionRoutes(app, parts);
  oidcRoutes(app, parts);
  overviewRoutes(app, parts);
  progressRoutes(app, parts);
  offenderRoutes(app, parts);
  hostRoutes(app, parts);
  readinessRoutes(app, parts);
  groupRoutes(app, parts);
  callRoutes(app, parts);
  callArrivalRoutes(app, parts);
  liveRoutes(app, parts);
  cloudRoutes(app, parts);
  enforcementRoutes(app, parts);
  tokenRoutes(app, parts);
  auditRoutes(app, parts);
  retentionRoutes(app, parts);
  storageRoutes(app, parts);
  alertRoutes(app, parts);
  triageRoutes(app, parts);
  ownerRoutes(app, parts);
  planRoutes(app, parts);
  serveDocument(app);

  const known = knownPaths(app);
  const servePage = pageHandler(parts.pageDirectory);
  app.notFound(async (c) => {
    const { method, path } = c.req;
    const allowed = allowedMethods(known, path);
    if (allowed.length > 0) {
      const headers = { Allow: allowed.join(', ') };
      if (method === 'OPTIONS') return c.body(null, 204, headers);
      return problemResponse(
        c,
        new Problem(405, `${path} accepts ${allowed.join(', ')}, not ${method}.`, { headers }),
      );
    }
    if (isApiPath(path)) {
      return problemResponse(
        c,
        new Problem(404, `There is nothing at ${path}. ${API_PREFIX}/openapi.json lists all paths.`),
      );
    }
    if (method === 'GET' || method === 'HEAD') return servePage(c);
    if (method === 'OPTIONS') return c.body(null, 204, { Allow: 'GET, HEAD, OPTIONS' });
    return problemResponse(
      c,
      new Problem(405, 'The page accepts only GET and HEAD. Changes are made through the API.', {
        headers: { Allow: 'GET, HEAD, OPTIONS' },
      }),
    );
  });
  app.onError((error, c) => {
    if (error instanceof Problem) return problemResponse(c, error);
    if (error instanceof HTTPException && error.status < 500) {
      return problemResponse(c, new Problem(error.status, error.message));
    }
    parts.metrics.countFailure();
    if (isDatabaseAway(error)) {
      parts.log.warn({ reason: error.message, path: c.req.path }, 'a request failed without the database');
      return problemResponse(c, new Problem(503, UNAVAILABLE, { headers: { 'Retry-After': '5' } }));
    }
    parts.log.error({ err: error, method: c.req.method, path: c.req.path }, 'a request failed');
    return problemResponse(c, new Problem(500, 'The collector failed to answer. Its log has the cause.'));
  });
  return app;
}

/** Errors of files and of other connections have the name of a system call, and are no errors of the database. */
function isDatabaseAway(error: Error): boolean {
  return error instanceof DatabaseUnavailableError || (!('syscall' in error) && isConnectionLost(error));
}

const UNAVAILABLE =
  'The database of the collector cannot be used now, as while it changes its primary. Try again in some seconds. Look first whether a change was stored.';

type Hook = NonNullable<OpenAPIHonoOptions<ApiEnv>['defaultHook']>;

const PLACES: Record<string, FieldError['in']> = {
  query: 'query',
  json: 'body',
  param: 'path',
  header: 'header',
};
const invalid: Hook = (result) => {
  if (result.success) return;
  const errors = result.error.issues.flatMap(({ path, message, code, ...issue }): FieldError[] => {
    const where = PLACES[result.target] ?? 'body';
    const unknown = code === 'unrecognized_keys' ? (issue as { keys: string[] }).keys : null;
    if (unknown !== null) {
      return unknown.map((key) => ({
        in: where,
        field: [...path, key].join('.'),
        detail: 'is not a known field',
      }));
    }
    return [{ in: where, field: path.join('.'), detail: message }];
  });
  const texts = errors.map(({ field, detail }) => (field === '' ? detail : `${field}: ${detail}`));
  throw new Problem(400, texts.join('; '), { errors });
};

/** Refuses bodies without a length, larger than allowed, or not JSON, before anything of them is read. */
const acceptableBody: MiddlewareHandler<ApiEnv> = async (c, next) => {
  const { headers } = c.env.incoming;
  // The rest of a refused body is not waited for.
  const close = { headers: { Connection: 'close' } };
  if (headers['transfer-encoding'] !== undefined) {
    throw new Problem(411, 'The body must be sent with a Content-Length.', close);
  }
  const bytes = Number(headers['content-length'] ?? 0);
  const maxBytes = maxBytesOf(c.req.path);
  if (bytes > maxBytes) throw new Problem(413, `The body must not be larger than ${maxBytes} bytes.`, close);
  if (bytes > 0 && !/^application\/json *(;|$)/i.test(headers['content-type'] ?? '')) {
    throw new Problem(415, 'The body must be JSON with the Content-Type application/json.', close);
  }
  await next();
};

function maxBytesOf(path: string): number {
  if (path.startsWith(`${API_PREFIX}/cloud/`)) return MAX_CLOUD_BODY_BYTES;
  if (path.startsWith(`${API_PREFIX}/enforcement/`)) return MAX_ENFORCEMENT_BODY_BYTES;
  return path.startsWith(`${API_PREFIX}/plans/`) ? MAX_PLAN_BODY_BYTES : MAX_BODY_BYTES;
}

interface KnownPath {
  method: string;
  pattern: RegExp;
}

function knownPaths(app: ApiApp): KnownPath[] {
  return app.routes
    .filter(({ method }) => METHODS.includes(method))
    .map(({ method, path }) => ({ method, pattern: new RegExp(`^${path.replace(/:[a-z_]+/g, '[^/]+')}$`) }));
}

function allowedMethods(known: readonly KnownPath[], path: string): string[] {
  const methods = new Set(known.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method));
  if (methods.size === 0) return [];
  if (methods.has('GET')) methods.add('HEAD');
  return [...methods, 'OPTIONS'];
}
