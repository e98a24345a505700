import { z } from '@hono/zod-openapi';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { badField } from '../problem.ts';
import { DEFAULT_LIMIT, pageQuery } from '../question.ts';
import { jsonAnswer, route } from '../route.ts';
import { AuditEntry } from '../schemas.ts';

const auditRoute = route({
  method: 'get',
  path: '/api/v1/audit',
  tags: ['administration'],
  summary: 'Actions of admins, newest first',
  request: { query: z.strictObject(pageQuery) },
  responses: {
    200: jsonAnswer(
      z.object({ items: z.array(AuditEntry), next: z.string().nullable() }),
      'A page of entries.',
    ),
  },
});

export function auditRoutes(app: ApiApp, { access }: ApiParts): void {
  app.openapi(auditRoute, async (c) => {
    const { limit = DEFAULT_LIMIT, cursor } = c.req.valid('query');
    if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) {
      throw badField('query', 'cursor', 'is not a cursor of this collector');
    }
    // One entry more than asked for shows if there is a next page.
    const found = await access.auditLog({
      limit: limit + 1,
      ...(cursor !== undefined && { before: Number(cursor) }),
    });
    const items = found.slice(0, limit);
    return c.json({ items, next: found.length > limit ? String(items.at(-1)!.id) : null }, 200);
  });
}
