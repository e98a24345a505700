import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { OperatorError } from '../../../common/operator_error.ts';
import { servedPresets } from '../../alert/http/presets.ts';
import type { Destination as DestinationFacts } from '../../contract/destination.ts';
import { actorOf } from '../actor.ts';
import type { ApiApp, ApiEnv } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { Problem } from '../problem.ts';
import { DEFAULT_LIMIT, pageQuery } from '../question.ts';
import { jsonAnswer, jsonBody, problemAnswer, route } from '../route.ts';
import {
  Alert,
  Destination,
  DestinationChange,
  DestinationPreset,
  NewDestination,
  UnroutedAlerts,
} from '../schemas.ts';

const PATH = '/api/v1/alert/destinations';
const params = z.object({ id: z.uuid() });
const tags: ['administration'] = ['administration'];

const recentRoute = route({
  method: 'get',
  path: '/api/v1/alerts',
  tags: ['findings'],
  summary: 'The latest alerts, newest first',
  request: {
    query: z.strictObject({
      limit: pageQuery.limit,
      digest: z
        .enum(['true', 'false'])
        .default('false')
        .describe('`true`: with the summaries that people get in place of many alerts of one rule.'),
    }),
  },
  responses: { 200: jsonAnswer(z.object({ items: z.array(Alert), next: z.null() }), 'Alerts.') },
});
const openRoute = route({
  method: 'get',
  path: '/api/v1/alerts/open',
  tags: ['findings'],
  summary: 'Alerts that were not resolved yet, oldest first',
  request: { query: z.strictObject({ limit: pageQuery.limit }) },
  responses: { 200: jsonAnswer(z.object({ items: z.array(Alert), next: z.null() }), 'Open alerts.') },
});
const listRoute = route({
  method: 'get',
  path: PATH,
  tags,
  summary: 'Destinations of alerts, without secrets',
  responses: {
    200: jsonAnswer(
      z.object({ items: z.array(Destination), next: z.null(), unrouted: UnroutedAlerts }),
      'Every destination, and the alerts that were for none of them.',
    ),
  },
});
const presetsRoute = route({
  method: 'get',
  path: '/api/v1/alert/presets',
  tags,
  summary: 'Receivers that there are presets for, with the values that each needs',
  responses: {
    200: jsonAnswer(z.object({ items: z.array(DestinationPreset), next: z.null() }), 'Every preset.'),
  },
});
const addRoute = route({
  method: 'post',
  path: PATH,
  tags,
  summary: 'Add a destination',
  request: { body: jsonBody(NewDestination) },
  responses: { 201: jsonAnswer(Destination, 'The new destination.') },
});
const changeRoute = route({
  method: 'patch',
  path: `${PATH}/{id}`,
  tags,
  summary: 'Change a destination',
  request: { params, body: jsonBody(DestinationChange) },
  responses: { 200: jsonAnswer(Destination, 'The changed destination.') },
});
const removeRoute = route({
  method: 'delete',
  path: `${PATH}/{id}`,
  tags,
  summary: 'Remove a destination',
  request: { params },
  responses: { 204: { description: 'Removed.' } },
});
const testRoute = route({
  method: 'post',
  path: `${PATH}/{id}/test`,
  tags,
  summary: 'Send a test alert now',
  request: { params },
  responses: {
    200: jsonAnswer(z.object({ ok: z.literal(true) }), 'The test alert was delivered.'),
    502: problemAnswer('The test alert was not delivered. `detail` has the cause.'),
  },
});

export function alertRoutes(app: ApiApp, { alerts, access }: ApiParts): void {
  const audit = async (c: Context<ApiEnv>, action: string, subject: string, detail: string | null) => {
    const { name: actor, sourceAddress: source_address } = actorOf(c);
    await access.audit({ actor, action, subject, detail, source_address });
  };

  app.openapi(recentRoute, async (c) => {
    const { limit = DEFAULT_LIMIT, digest } = c.req.valid('query');
    const items = await alerts.recentAlerts(limit, { digest: digest === 'true' });
    return c.json({ items, next: null }, 200);
  });

  app.openapi(openRoute, async (c) => {
    const { limit = DEFAULT_LIMIT } = c.req.valid('query');
    return c.json({ items: (await alerts.openAlerts()).slice(0, limit), next: null }, 200);
  });

  app.openapi(listRoute, async (c) => {
    const [items, unrouted] = await Promise.all([alerts.destinations(), alerts.unrouted()]);
    return c.json({ items, next: null, unrouted }, 200);
  });

  app.openapi(presetsRoute, async (c) => c.json({ items: await servedPresets(), next: null }, 200));

  app.openapi(addRoute, async (c) => {
    const added = await checked(() => alerts.addDestination(c.req.valid('json'), actorOf(c).name));
    await audit(c, 'alert_destination.add', added.id, describe(added));
    return c.json(added, 201);
  });

  app.openapi(changeRoute, async (c) => {
    const { id } = c.req.valid('param');
    const changed = await checked(() => alerts.changeDestination(id, c.req.valid('json'), actorOf(c).name));
    if (changed === null) throw unknown(id);
    await audit(c, 'alert_destination.change', id, describe(changed));
    return c.json(changed, 200);
  });

  app.openapi(removeRoute, async (c) => {
    const { id } = c.req.valid('param');
    const before = (await alerts.destinations()).find((destination) => destination.id === id);
    if (before === undefined || !(await alerts.removeDestination(id, actorOf(c).name))) throw unknown(id);
    await audit(c, 'alert_destination.remove', id, describe(before));
    return c.body(null, 204);
  });

  app.openapi(testRoute, async (c) => {
    const { id } = c.req.valid('param');
    if (!(await alerts.destinations()).some((destination) => destination.id === id)) throw unknown(id);
    const result = await alerts.sendTest(id);
    await audit(c, 'alert_destination.test', id, result.ok ? 'arrived' : 'failed');
    if (!result.ok) throw new Problem(502, `The test alert was not delivered: ${result.error}`);
    return c.json({ ok: true as const }, 200);
  });
}

function unknown(id: string): Problem {
  return new Problem(404, `There is no alert destination ${id}.`);
}

/** Turns an `OperatorError` into a problem, whose text the admin can act on. */
async function checked<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OperatorError) throw new Problem(400, error.message);
    throw error;
  }
}

function describe({ name, kind, preset, target, enabled, rules, stream }: DestinationFacts): string {
  const sent = stream === 'alerts' ? rules.join(', ') : `stream ${stream}`;
  return `"${name}": ${preset ?? kind} to ${target}, ${enabled ? 'enabled' : 'disabled'}, ${sent}`;
}
