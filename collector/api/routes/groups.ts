import { z } from '@hono/zod-openapi';
import { GROUP_ATTRIBUTES, parseGroupAttribute } from '../../../common/group_id.ts';
import { group as groupShape } from '../../contract/group.ts';
import { verdict } from '../../contract/host.ts';
import type { GroupFilter } from '../../insight/group/fleet.ts';
import type { ApiApp } from '../env.ts';
import { asOf, formatOf, formatQuery, listContent } from '../export.ts';
import { listAnswer } from '../list_answer.ts';
import { listRequestOf, listSource } from '../list_request.ts';
import type { ApiParts } from '../parts.ts';
import { badField, Problem } from '../problem.ts';
import { pageQuery, questionOf, repeatable, shortText, windowQuery } from '../question.ts';
import { jsonAnswer, route } from '../route.ts';
import { GroupDetail, Group as GroupSchema } from '../schemas.ts';

const AS_OF = asOf.describe('When the instances were judged. Everything that was stored before counts.');
const ATTRIBUTES = [...GROUP_ATTRIBUTES, 'tag:KEY'].join(', ');
const placeQuery = {
  account: repeatable(shortText).describe('Accounts: only instances of these. A name may exist in several.'),
  region: repeatable(shortText).describe('Regions: only instances of these.'),
};

const listRoute = route({
  method: 'get',
  path: '/api/v1/groups',
  tags: ['findings'],
  summary: 'Groups of instances with their verdicts, also about instances that are gone',
  request: {
    query: z.strictObject({
      by: shortText.default('asg').describe(`One of ${ATTRIBUTES}. Default: \`asg\`.`),
      ...windowQuery,
      ...placeQuery,
      verdict: repeatable(verdict).describe('Verdicts.'),
      text: shortText.optional().describe("Part of a group's value. Upper and lower case are the same."),
      ...pageQuery,
      ...formatQuery,
    }),
  },
  responses: {
    200: {
      description: 'A page of groups, or all of them.',
      content: listContent(GroupSchema, { as_of: AS_OF }),
    },
  },
});

const oneRoute = route({
  method: 'get',
  path: '/api/v1/groups/{id}',
  tags: ['findings'],
  summary: 'One group: its verdict, what is missing, and its instances',
  request: {
    params: z.object({ id: shortText.min(1).describe('`asg:NAME`, `tag:KEY=VALUE`, `image:ID` …') }),
    query: z.strictObject({ ...windowQuery, ...placeQuery }),
  },
  responses: { 200: jsonAnswer(GroupDetail, 'The group.') },
});

export function groupRoutes(app: ApiApp, { views, defaultWindowDays, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const by = parseGroupAttribute(query.by);
    if (by === null) throw badField('query', 'by', `must be one of ${ATTRIBUTES}`);
    const list = listRequestOf(c.req.path, query, defaultWindowDays);
    const format = formatOf(c, query.format);
    const { insight } = views.for(c);
    const { source, window } = listSource(insight, { query, list, format, defaultWindowDays });
    const sought = query.text?.toLowerCase() ?? '';
    const all = await source.groups(by, { window }, filterOf(query));
    const items = all.filter(
      (group) =>
        (query.verdict === undefined || query.verdict.includes(group.verdict)) &&
        group.value.toLowerCase().includes(sought),
    );
    const { limit } = query;
    const asOfUs = insight.asOfUs(all);
    return listAnswer(c, {
      ...{ format, name: 'groups', schema: groupShape, items, list, limit, asOfUs, log, metrics },
    });
  });

  app.openapi(oneRoute, async (c) => {
    const { id } = c.req.valid('param');
    const query = c.req.valid('query');
    const question = questionOf(query, defaultWindowDays);
    const found = await views.for(c).insight.group(id, question, filterOf(query));
    if (found === null) {
      throw new Problem(404, `No instance belonged to the group ${JSON.stringify(id)} in the window.`);
    }
    return c.json(found, 200);
  });
}

function filterOf({
  account,
  region,
}: {
  account?: string[] | undefined;
  region?: string[] | undefined;
}): GroupFilter {
  return { ...(account && { accounts: account }), ...(region && { regions: region }) };
}
