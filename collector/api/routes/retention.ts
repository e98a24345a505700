import { actorOf } from '../actor.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { answers, route, takes } from '../route.ts';
import { Retention } from '../schemas.ts';

const readRoute = route({
  method: 'get',
  path: '/api/v1/retention',
  tags: ['administration'],
  summary: 'How long what is kept',
  responses: { 200: answers(Retention, 'The bounds.') },
});

const setRoute = route({
  method: 'put',
  path: '/api/v1/retention',
  tags: ['administration'],
  summary: 'Set how long what is kept',
  description: 'What is older goes within minutes, and does not come back.',
  request: { body: takes(Retention) },
  responses: { 200: answers(Retention, 'The bounds from now on.') },
});

export function retentionRoutes(app: ApiApp, { access, insight }: ApiParts): void {
  app.openapi(readRoute, (c) => c.json(access.retention(), 200));

  app.openapi(setRoute, (c) => {
    access.setRetention(c.req.valid('json'), actorOf(c));
    insight.forget();
    return c.json(access.retention(), 200);
  });
}
