/** Helpers for route definitions: they add the role and the possible problems to what `createRoute` needs. */
import { createRoute, type RouteConfig, type z } from '@hono/zod-openapi';
import { requiredRole } from './authorization.ts';
import { PROBLEM_TYPE, problemDocument } from './problem.ts';

const PROBLEMS: Record<number, string> = {
  400: 'A parameter or the body is not valid. `errors` names the fields.',
  401: 'The request is not signed in, or its token is not valid any more.',
  403: 'The role does not permit this, or a page of another origin sent the request.',
  404: 'It does not exist.',
  411: 'The body has no Content-Length.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  429: 'Too many requests. `Retry-After` has the seconds to wait.',
  500: 'The collector failed. Its log has the cause.',
  503: 'The collector cannot answer now.',
};

type Config = Omit<RouteConfig, 'path' | 'security'> & {
  path: `/${string}`;
  tags: [string];
  summary: string;
};

/**
 * Defines a route. `C` keeps the types of the request and the answer for the handler. Handlers throw
 * problems.
 */
export function route<const C extends Config>(config: C): ReturnType<typeof createRoute<C['path'], C>> {
  const { method, path, request } = config;
  const role = requiredRole(method.toUpperCase(), path);
  const hasBody = request?.body !== undefined;
  const problems = [
    ...(request === undefined ? [] : [400]),
    ...(role === null ? [] : [401]),
    // A change without a token must come from the collector's own page, also where no role is needed.
    ...((role !== null && role !== 'viewer') || method !== 'get' ? [403] : []),
    ...(path.includes('{') ? [404] : []),
    ...(hasBody ? [411, 413, 415] : []),
    429,
    500,
    503,
  ];
  const needs = role === null ? 'Needs no sign-in.' : `Needs the role ${role}.`;
  const documented = {
    ...config,
    description: [config.description, needs].filter((text) => text !== undefined).join('\n\n'),
    security: role === null ? [] : [{ token: [] }, { session: [] }],
    responses: {
      ...Object.fromEntries(
        problems.map((status) => [
          status,
          { description: PROBLEMS[status]!, content: { [PROBLEM_TYPE]: { schema: problemDocument } } },
        ]),
      ),
      ...config.responses,
    },
  };
  return createRoute(documented) as unknown as ReturnType<typeof createRoute<C['path'], C>>;
}

export function jsonAnswer<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

export function jsonBody<S extends z.ZodType>(schema: S) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}

/** Describes a problem that only this route has. */
export function problemAnswer(description: string) {
  return { description, content: { [PROBLEM_TYPE]: { schema: problemDocument } } };
}
