import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { jsonAnswer, route } from '../route.ts';
import { Storage } from '../schemas.ts';

const storageRoute = route({
  method: 'get',
  path: '/api/v1/storage',
  tags: ['administration'],
  summary: 'What an acknowledgement is worth in the store of the collector',
  responses: { 200: jsonAnswer(Storage, 'The kind of the store, and how many machines have a batch.') },
});

export function storageRoutes(app: ApiApp, { storage }: ApiParts): void {
  app.openapi(storageRoute, async (c) => c.json(await storage(), 200));
}
