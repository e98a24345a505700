import { z } from '@hono/zod-openapi';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { badField } from '../problem.ts';
import { DEFAULT_LIMIT, pageQuery } from '../question.ts';
import { answers, route } from '../route.ts';
import { AuditEntry } from '../schemas.ts';

const auditRoute = route({
  method: 'get',
  path: '/api/v1/audit',
  tags: ['administration'],
  summary: 'What admins did, newest first',
  request: { query: z.strictObject(pageQuery) },
  responses: {
    200: answers(z.object({ items: z.array(AuditEntry), next: z.string().nullable() }), 'A page of entries.'),
  },
});

export function auditRoutes(app: ApiApp, { access }: ApiParts): void {
  app.openapi(auditRoute, (c) => {
    const { limit = DEFAULT_LIMIT, cursor } = c.req.valid('query');
    if (cursor !== undefined && !/^\d{1,15}$/.test(cursor)) {
      throw badField('query', 'cursor', 'is not a cursor that was given out here');
    }
    // One more than asked for tells whether there is a page behind.
    const found = access.auditLog({
      limit: limit + 1,
      ...(cursor !== undefined && { before: Number(cursor) }),
    });
    const items = found.slice(0, limit);
    return c.json({ items, next: found.length > limit ? String(items.at(-1)!.id) : null }, 200);
  });
}
