import { z } from '@hono/zod-openapi';
import { OperatorError } from '../../../common/operator_error.ts';
import type { NewToken as NewTokenFields } from '../../contract/administration.ts';
import { actorOf } from '../actor.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { badField, Problem } from '../problem.ts';
import { jsonAnswer, jsonBody, problemAnswer, route } from '../route.ts';
import { NewToken, Token } from '../schemas.ts';

const listRoute = route({
  method: 'get',
  path: '/api/v1/tokens',
  tags: ['administration'],
  summary: 'Tokens, without their secrets',
  responses: { 200: jsonAnswer(z.object({ items: z.array(Token), next: z.null() }), 'Every token.') },
});

const createRoute = route({
  method: 'post',
  path: '/api/v1/tokens',
  tags: ['administration'],
  summary: 'Create a token',
  description: '`secret` is only in this answer. The collector does not store it.',
  request: { body: jsonBody(NewToken) },
  responses: {
    201: jsonAnswer(z.object({ token: Token, secret: z.string() }), 'The token and its secret.'),
    409: problemAnswer('The host has a credential already.'),
  },
});

const revokeRoute = route({
  method: 'delete',
  path: '/api/v1/tokens/{id}',
  tags: ['administration'],
  summary: 'Revoke a token',
  description: 'Takes effect at once: its sessions and connections are closed.',
  request: { params: z.object({ id: z.uuid() }) },
  responses: { 204: { description: 'Revoked.' } },
});

export function tokenRoutes(app: ApiApp, { access }: ApiParts): void {
  app.openapi(listRoute, async (c) => c.json({ items: await access.tokens(), next: null }, 200));

  app.openapi(createRoute, async (c) => {
    const token = c.req.valid('json');
    try {
      return c.json(await access.createToken(token, actorOf(c)), 201);
    } catch (error) {
      if (!(error instanceof OperatorError)) throw error;
      if (error.exitCode === 1) throw new Problem(409, error.message);
      throw badField('body', fieldOf(token), error.message);
    }
  });

  app.openapi(revokeRoute, async (c) => {
    const { id } = c.req.valid('param');
    if (!(await access.revokeToken(id, actorOf(c)))) {
      throw new Problem(404, `There is no valid token ${id}: it does not exist, or it was revoked before.`);
    }
    return c.body(null, 204);
  });
}

/** Names the field that the access layer refuses. */
function fieldOf({ kind, role, scope }: NewTokenFields): string {
  if (scope !== undefined && role !== 'viewer') return 'scope';
  return kind === 'agent' ? 'host_id' : 'role';
}
