/** Routes as they are written down: what `createRoute` takes, with who may and what can go wrong added. */
import { createRoute, type RouteConfig, type z } from '@hono/zod-openapi';
import { requiredRole } from './authorization.ts';
import { PROBLEM_TYPE, problemDocument } from './problem.ts';

const PROBLEMS: Record<number, string> = {
  400: 'A parameter or the body is not valid; `errors` names the fields.',
  401: 'Nobody is signed in, or the token is not valid any more.',
  403: 'The role is not enough, or a page of another origin sent this.',
  404: 'There is no such thing.',
  411: 'The body came without its length.',
  413: 'The body is too large.',
  415: 'The body is not JSON.',
  429: 'Too many requests; `Retry-After` says when to come again.',
  500: 'The collector failed; its log says how.',
  503: 'The collector cannot answer now.',
};

type Config = Omit<RouteConfig, 'path' | 'security'> & {
  path: `/${string}`;
  tags: [string];
  summary: string;
};

/** `C` keeps the types of what the handler is given and has to answer; problems are thrown. */
export function route<const C extends Config>(config: C): ReturnType<typeof createRoute<C['path'], C>> {
  const { method, path, request } = config;
  const role = requiredRole(method.toUpperCase(), path);
  const hasBody = request?.body !== undefined;
  const problems = [
    ...(request === undefined ? [] : [400]),
    ...(role === null ? [] : [401]),
    // Also without a role: what changes something is only taken from the collector's own page.
    ...(role === 'admin' || method !== 'get' ? [403] : []),
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

export function answers<S extends z.ZodType>(schema: S, description: string) {
  return { description, content: { 'application/json': { schema } } };
}

export function takes<S extends z.ZodType>(schema: S) {
  return { required: true, content: { 'application/json': { schema } } } as const;
}

/** A problem that only this route has. */
export function problemAnswer(description: string) {
  return { description, content: { [PROBLEM_TYPE]: { schema: problemDocument } } };
}
