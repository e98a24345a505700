import { z } from '@hono/zod-openapi';
import { type Call, imdsCategory, outcome } from '../../../protocol/call.ts';
import { type ServedCall, servedCall } from '../../contract/served_call.ts';
import { shapedCallLines } from '../../export/call_lines.ts';
import type { CallFilter } from '../../store/store.ts';
import type { WorkloadRules } from '../../store/workload_rules.ts';
import type { ApiApp } from '../env.ts';
import { exportAnswer, formatOf, type Format as ListFormat, listContent } from '../export.ts';
import { listRequestOf } from '../list_request.ts';
import { encodeCursor } from '../paging.ts';
import type { ApiParts, View } from '../parts.ts';
import { DEFAULT_LIMIT, pageQuery, repeatable, shortText, windowQuery, workloadId } from '../question.ts';
import { route } from '../route.ts';
import { ServedCall as ServedCallSchema } from '../schemas.ts';

const EXPORT_PAGE = 1000;

export const callQuery = {
  host: repeatable(shortText).describe('Ids of hosts.'),
  offender: repeatable(workloadId).describe('Ids of workloads.'),
  version: z.enum(['1', '2']).optional().describe('Version of IMDS.'),
  category: repeatable(imdsCategory).describe('Categories of paths.'),
  outcome: repeatable(outcome).describe('Outcomes of calls.'),
  path: shortText.optional().describe('Part of the path. Upper and lower case are the same.'),
};
/** Shapes of other systems in which calls can be fetched, beside those of all lists. */
const callFormatQuery = {
  format: z
    .enum(['json', 'csv', 'ndjson', 'otlp', 'ocsf', 'ecs'])
    .optional()
    .describe(
      'All but `json` return the whole result instead of a page. `otlp`, `ocsf` and `ecs`: NDJSON in the shape of OpenTelemetry (one request of OTLP JSON a line), of OCSF 1.5 and of ECS 9.4. This takes precedence over the header `Accept`.',
    ),
};
export type CallQuery = z.output<z.ZodObject<typeof callQuery>>;

const listRoute = route({
  method: 'get',
  path: '/api/v1/calls',
  tags: ['calls'],
  summary: 'Single calls that are still kept, newest first',
  request: { query: z.strictObject({ ...windowQuery, ...callQuery, ...pageQuery, ...callFormatQuery }) },
  responses: {
    200: { description: 'A page of calls, or all of them.', content: listContent(ServedCallSchema) },
  },
});

export function callRoutes(app: ApiApp, { views, rules, defaultWindowDays, log, metrics }: ApiParts): void {
  app.openapi(listRoute, async (c) => {
    const query = c.req.valid('query');
    const { name, cursor, window } = listRequestOf(c.req.path, query, defaultWindowDays);
    const filter: CallFilter = {
      window,
      hosts: query.host ?? null,
      identities: query.offender ?? null,
      version: versionOf(query.version),
      categories: query.category ?? null,
      outcomes: query.outcome ?? null,
      path: query.path ?? null,
    };
    const linesOf = shapedCallLines(query.format);
    const format = linesOf === null ? formatOf(c, query.format as ListFormat | undefined) : 'ndjson';
    const view = views.for(c);
    if (format !== 'json') {
      const first = await view.calls(filter, EXPORT_PAGE, null);
      return exportAnswer(c, {
        format,
        name: linesOf === null ? 'calls' : `calls.${query.format}`,
        ...(linesOf === null ? {} : { linesOf: (items) => linesOf(items as readonly ServedCall[]) }),
        schema: servedCall,
        items: pages(view, rules, filter, first),
        log,
        metrics,
      });
    }
    const { calls, next } = await view.calls(filter, query.limit ?? DEFAULT_LIMIT, cursor?.inner ?? null);
    const following = {
      of: name,
      since: window.sinceUs,
      until: window.untilUs,
      after: '',
      given: 0,
    };
    return c.json(
      {
        items: calls.map((call) => servedCallOf(call, rules)),
        next: next === null ? null : encodeCursor({ ...following, inner: next }),
      },
      200,
      { Vary: 'Accept' },
    );
  });
}

export function versionOf(text: '1' | '2' | undefined): 1 | 2 | null {
  if (text === undefined) return null;
  return text === '1' ? 1 : 2;
}

type Page = Awaited<ReturnType<View['calls']>>;

async function* pages(
  view: View,
  rules: WorkloadRules,
  filter: CallFilter,
  first: Page,
): AsyncGenerator<ServedCall[]> {
  let { calls, next } = first;
  for (;;) {
    yield calls.map((call) => servedCallOf(call, rules));
    if (next === null) return;
    ({ calls, next } = await view.calls(filter, EXPORT_PAGE, next));
  }
}

function servedCallOf(call: Call, rules: WorkloadRules): ServedCall {
  return { ...call, offender: rules.workloadIdOfCall(call) };
}
