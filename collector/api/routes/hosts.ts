import { z } from '@hono/zod-openapi';
import { host as hostShape, verdict } from '../../contract/host.ts';
import { HOST_SORT_KEYS } from '../../insight/host_board.ts';
import { parseGroupBy } from '../../insight/question.ts';
import { toTimestamp } from '../../store/time.ts';
import type { ApiApp } from '../env.ts';
import { asOf, formatOf, formatQuery, listContent } from '../export.ts';
import { pageAnswer } from '../list_answer.ts';
import { listRequestOf, windowOfPage } from '../list_request.ts';
import { pageOf, placeOf } from '../paging.ts';
import type { ApiParts } from '../parts.ts';
import { badField, Problem } from '../problem.ts';
import {
  DEFAULT_LIMIT,
  hostFilterOf,
  hostQuery,
  MAX_LIMIT,
  pageQuery,
  questionOf,
  repeatable,
  shortText,
  windowQuery,
} from '../question.ts';
import { jsonAnswer, route } from '../route.ts';
import { HostDetail, Host as HostSchema, ReadinessGroup } from '../schemas.ts';

const sorts = [...HOST_SORT_KEYS, ...HOST_SORT_KEYS.map((key) => `-${key}` as const)] as const;
const text = shortText.optional().describe("Part of a host's id or name. Upper and lower case are the same.");

const listRoute = route({
  method: 'get',
  path: '/api/v1/hosts',
  tags: ['findings'],
  summary: 'Hosts with their readiness',
  description:
    'Verdicts of large fleets can be up to three minutes old, so that nobody waits for a judgement of all hosts: `as_of` says when they were judged. ' +
    'Exports, alerts and the guards of a plan are always judged anew.',
  request: {
    query: z.strictObject({
      ...windowQuery,
      ...hostQuery,
      text,
      verdict: repeatable(verdict).describe('Verdicts.'),
      state: z.enum(['online', 'silent']).optional(),
      sort: z.enum(sorts).optional().describe('Sort key. A leading `-` reverses the order.'),
      ...pageQuery,
      ...formatQuery,
    }),
  },
  responses: {
    200: {
      description: 'A page of hosts, or all of them.',
      content: listContent(HostSchema, {
        as_of: asOf.describe('When the hosts were judged. Everything that was stored before counts.'),
      }),
    },
  },
});

const oneRoute = route({
  method: 'get',
  path: '/api/v1/hosts/{id}',
  tags: ['findings'],
  summary: 'One host: readiness with its evidence, and the command that enforces IMDSv2',
  request: { params: z.object({ id: shortText.min(1) }), query: z.strictObject(windowQuery) },
  responses: { 200: jsonAnswer(HostDetail, 'The host.') },
});

const GROUPS_AS_OF = asOf.describe(
  'When the hosts were judged, on large fleets up to three minutes ago. Look at a host again before you run a command.',
);
const groupsRoute = route({
  method: 'get',
  path: '/api/v1/readiness/groups',
  tags: ['findings'],
  deprecated: true,
  summary: 'Numbers of hosts by verdict, for each value of an attribute',
  description:
    'Each host is judged by itself, so that hosts that live for hours stay `unproven`. Use `/groups` instead.',
  request: {
    query: z.strictObject({
      by: shortText.describe('`account`, `region`, `zone`, `type`, `image_id`, or `tag:KEY`.'),
      ...windowQuery,
      ...hostQuery,
      text,
      ...pageQuery,
    }),
  },
  responses: {
    200: jsonAnswer(
      z.object({ items: z.array(ReadinessGroup), next: z.string().nullable(), as_of: GROUPS_AS_OF }),
      'A page of groups.',
    ),
  },
});

export function hostRoutes(app: ApiApp, { views, defaultWindowDays, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const { verdict: verdicts, state, sort, text, limit = DEFAULT_LIMIT } = query;
    const selection = { ...hostFilterOf(query), ...(text !== undefined && { text }), verdicts, state, sort };
    const { insight } = views.for(c);
    const window = windowOfPage(query, list, defaultWindowDays);
    return pageAnswer(c, {
      ...{ format: formatOf(c, query.format), name: 'hosts', schema: hostShape, list, log, metrics },
      page: () => insight.hostPage({ window }, selection, { limit, place: placeOf(list.cursor) }),
      all: () => insight.fresh.allHosts({ window: list.window }, selection),
    });
  });

  app.openapi(oneRoute, async (c) => {
    const { id } = c.req.valid('param');
    const question = questionOf(c.req.valid('query'), defaultWindowDays);
    const found = await views.for(c).insight.host(id, question);
    if (found === null) throw new Problem(404, `No host ${JSON.stringify(id)} has ever reported.`);
    return c.json(found, 200);
  });

  app.openapi(groupsRoute, async (c) => {
    const query = c.req.valid('query');
    const by = parseGroupBy(query.by);
    if (by === null) {
      throw badField('query', 'by', 'must be account, region, zone, type, image_id or tag:KEY');
    }
    const filter = { ...hostFilterOf(query), ...(query.text !== undefined && { text: query.text }) };
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const { insight } = views.for(c);
    const groups = await insight.readinessGroups(by, { window: list.window }, filter);
    // The value names a group. As JSON, a missing value differs from every text.
    const named = groups.map((group) => ({ ...group, id: JSON.stringify(group.value) }));
    const { items, next } = pageOf(named, query.limit ?? MAX_LIMIT, list);
    const judged = toTimestamp(insight.asOfUs(groups));
    return c.json({ items: items.map(({ id: _, ...group }) => group), next, as_of: judged }, 200);
  });
}
