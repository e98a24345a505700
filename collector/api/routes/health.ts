import { z } from '@hono/zod-openapi';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { jsonAnswer, route } from '../route.ts';

const status = z.object({ status: z.literal('ok') });

const aliveRoute = route({
  method: 'get',
  path: '/healthz',
  tags: ['operation'],
  summary: 'Liveness of the collector',
  responses: { 200: jsonAnswer(status, 'The collector is alive.') },
});

const readyRoute = route({
  method: 'get',
  path: '/readyz',
  tags: ['operation'],
  summary: 'Readiness of the collector to accept records',
  responses: { 200: jsonAnswer(status, 'The store can be written.') },
});

export function healthRoutes(app: ApiApp, { unready }: ApiParts): void {
  app.openapi(aliveRoute, (c) => c.json({ status: 'ok' as const }, 200));
  app.openapi(readyRoute, async (c) => {
    const reason = await unready();
    if (reason !== null) throw new Problem(503, reason);
    return c.json({ status: 'ok' as const }, 200);
  });
}
