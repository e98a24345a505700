import { z } from '@hono/zod-openapi';
import { toCounts, toInstances, toInventory } from '../../insight/cloud_import/stored_figures.ts';
import { actorOf } from '../actor.ts';
import type { ApiApp } from '../env.ts';
import { listRequestOf } from '../list_request.ts';
import { pageOf } from '../paging.ts';
import type { ApiParts } from '../parts.ts';
import { hostFilterOf, hostQuery, pageQuery, windowQuery } from '../question.ts';
import { jsonAnswer, jsonBody, route } from '../route.ts';
import { CloudCounts, CloudInstances, CloudInventory, Reconciliation } from '../schemas.ts';

const supplied = jsonAnswer(z.object({ stored: z.int() }), 'Number of stored entries.');

const reconciliationRoute = route({
  method: 'get',
  path: '/api/v1/reconciliation',
  tags: ['cloud'],
  summary: "The cloud's count of calls without a token, compared with the calls that were seen",
  description: 'Without `limit`, all hosts.',
  request: { query: z.strictObject({ ...windowQuery, ...hostQuery, ...pageQuery }) },
  responses: {
    200: jsonAnswer(
      z.object({ items: z.array(Reconciliation), next: z.string().nullable() }),
      'Hosts for which the cloud has counts.',
    ),
  },
});
const countsRoute = route({
  method: 'post',
  path: '/api/v1/cloud/counts',
  tags: ['cloud'],
  summary: 'Supply `MetadataNoToken` counts',
  description: 'Replaces earlier counts for the same instance and start.',
  request: { body: jsonBody(CloudCounts) },
  responses: { 200: supplied },
});
const instancesRoute = route({
  method: 'post',
  path: '/api/v1/cloud/instances',
  tags: ['cloud'],
  summary: "Supply instances' metadata options",
  request: { body: jsonBody(CloudInstances) },
  responses: { 200: supplied },
});

const inventoryRoute = route({
  method: 'post',
  path: '/api/v1/cloud/inventory',
  tags: ['cloud'],
  summary: 'Supply instances with their groups, and what they are launched from',
  description: 'Of an instance, what is null keeps its former value. A resource is replaced.',
  request: { body: jsonBody(CloudInventory) },
  responses: { 200: supplied },
});

export function cloudRoutes(app: ApiApp, { views, store, access, defaultWindowDays }: ApiParts): void {
  app.openapi(reconciliationRoute, async (c) => {
    const query = c.req.valid('query');
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const all = await views.for(c).insight.reconciliation({ window: list.window }, hostFilterOf(query));
    const { items, next } = pageOf(all, query.limit ?? Number.POSITIVE_INFINITY, list);
    return c.json({ items, next }, 200);
  });

  app.openapi(countsRoute, async (c) => {
    const counts = c.req.valid('json');
    await store.putCloudCounts(toCounts(counts));
    views.forget();
    const { name: actor, sourceAddress: source_address } = actorOf(c);
    const detail = `${counts.length} counts`;
    await access.audit({ actor, action: 'cloud_counts.supply', subject: 'cloud', detail, source_address });
    return c.json({ stored: counts.length }, 200);
  });

  app.openapi(instancesRoute, async (c) => {
    const instances = c.req.valid('json');
    await store.putCloudInstances(toInstances(instances, Date.now() * 1000));
    views.forget();
    const { name: actor, sourceAddress: source_address } = actorOf(c);
    const detail = `${instances.length} instances`;
    await access.audit({ actor, action: 'cloud_instances.supply', subject: 'cloud', detail, source_address });
    return c.json({ stored: instances.length }, 200);
  });

  app.openapi(inventoryRoute, async (c) => {
    const inventory = c.req.valid('json');
    await store.putCloudInventory(toInventory(inventory, Date.now() * 1000));
    views.forget();
    const { name: actor, sourceAddress: source_address } = actorOf(c);
    const detail = `${inventory.instances.length} instances, ${inventory.resources.length} resources`;
    await access.audit({ actor, action: 'cloud_inventory.supply', subject: 'cloud', detail, source_address });
    return c.json({ stored: inventory.instances.length + inventory.resources.length }, 200);
  });
}
