import { actorOf } from '../actor.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { jsonAnswer, jsonBody, route } from '../route.ts';
import { Retention } from '../schemas.ts';

const readRoute = route({
  method: 'get',
  path: '/api/v1/retention',
  tags: ['administration'],
  summary: 'Retention of calls and roll-ups',
  responses: { 200: jsonAnswer(Retention, 'The limits.') },
});

const setRoute = route({
  method: 'put',
  path: '/api/v1/retention',
  tags: ['administration'],
  summary: 'Change the retention',
  description: 'Older data is deleted within minutes and cannot be restored.',
  request: { body: jsonBody(Retention) },
  responses: { 200: jsonAnswer(Retention, 'The new limits.') },
});

export function retentionRoutes(app: ApiApp, { access, views }: ApiParts): void {
  app.openapi(readRoute, async (c) => c.json(await access.retention(), 200));

  app.openapi(setRoute, async (c) => {
    await access.setRetention(c.req.valid('json'), actorOf(c));
    views.forget();
    return c.json(await access.retention(), 200);
  });
}
