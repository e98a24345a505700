/** Errors as problem documents (RFC 9457, `application/problem+json`). */
import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

export const PROBLEM_TYPE = 'application/problem+json';

export const problemDocument = z
  .object({
    type: z.string().describe('Always `about:blank`: the status is the kind of the problem.'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('The cause, and what to do.'),
    instance: z.string().describe('Path of the request.'),
    errors: z
      .array(
        z.object({ in: z.enum(['query', 'body', 'path', 'header']), field: z.string(), detail: z.string() }),
      )
      .optional()
      .describe('Each field that is wrong, for status 400.'),
  })
  .meta({ id: 'Problem' });

export type ProblemDocument = z.infer<typeof problemDocument>;
export type FieldError = NonNullable<ProblemDocument['errors']>[number];

const TITLES: Record<number, string> = {
  400: 'Bad request',
  401: 'Not signed in',
  403: 'Not permitted',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  410: 'Gone',
  411: 'Length required',
  413: 'Too large',
  415: 'Media type not supported',
  429: 'Too many requests',
  500: 'Internal error',
  502: 'Bad gateway',
  503: 'Not available',
};

export function titleOf(status: number): string {
  return TITLES[status] ?? 'Error';
}

/** An error that handlers throw. `detail` is a text for the person who sent the request. */
export class Problem extends Error {
  readonly status: ContentfulStatusCode;
  readonly errors: FieldError[] | undefined;
  readonly headers: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    detail: string,
    { errors, headers = {} }: { errors?: FieldError[]; headers?: Record<string, string> } = {},
  ) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.errors = errors;
    this.headers = headers;
  }
}

export function badField(where: FieldError['in'], field: string, detail: string): Problem {
  return new Problem(400, `${field}: ${detail}`, { errors: [{ in: where, field, detail }] });
}

export function problemResponse(c: Context, { status, message, errors, headers }: Problem): Response {
  const document: ProblemDocument = {
    type: 'about:blank',
    title: titleOf(status),
    status,
    detail: message,
    instance: c.req.path,
    ...(errors !== undefined && { errors }),
  };
  return c.body(JSON.stringify(document), status, { 'Content-Type': PROBLEM_TYPE, ...headers });
}
