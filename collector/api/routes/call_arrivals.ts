import { z } from '@hono/zod-openapi';
import {
  type FollowCursor,
  followCursorText,
  LostPlaceError,
  parseFollowCursor,
} from '../../store/followed_calls.ts';
import type { ApiApp } from '../env.ts';
import type { ApiParts } from '../parts.ts';
import { badField, Problem } from '../problem.ts';
import { DEFAULT_LIMIT, pageQuery } from '../question.ts';
import { jsonAnswer, problemAnswer, route } from '../route.ts';
import { FollowedCalls as FollowedCallsSchema } from '../schemas.ts';

const arrivalsRoute = route({
  method: 'get',
  path: '/api/v1/calls/arrivals',
  tags: ['calls'],
  summary: 'Calls in the order in which they were stored, for programs that follow them',
  description:
    'Ask without `after` once: the answer has no items, and `next` is the end of now. Then ask again and again with `after`, the `next` of the answer before. Each stored call comes once, also one that an agent delivered days late. The order is noted while somebody asks, and as long after the last question as calls are kept. `deleted` counts the calls that retention deleted before they were read. `imdswatch calls --follow` does this.',
  request: {
    query: z.strictObject({
      after: z.string().max(100).optional().describe('The value of `next` in the previous answer.'),
      limit: pageQuery.limit,
    }),
  },
  responses: {
    200: jsonAnswer(FollowedCallsSchema, 'The calls after the position.'),
    403: problemAnswer('The role shows the hosts of a scope only: positions count the calls of all hosts.'),
    410: problemAnswer(
      'The position is not known any more: the notes of the order were begun anew, or the data was restored from a backup. The detail says which calls are concerned.',
    ),
  },
});

export function callArrivalRoutes(app: ApiApp, { followed }: ApiParts): void {
  app.openapi(arrivalsRoute, async (c) => {
    const { after, limit = DEFAULT_LIMIT } = c.req.valid('query');
    const page = after === undefined ? await followed.begin() : await pageAfter(cursorOf(after), limit);
    const { calls, next, deleted, waiting } = page;
    return c.json({ items: calls, next: followCursorText(next), deleted, waiting }, 200);
  });

  async function pageAfter(cursor: FollowCursor, limit: number) {
    try {
      return await followed.page(cursor, limit);
    } catch (error) {
      if (!(error instanceof LostPlaceError)) throw error;
      throw new Problem(
        410,
        `${error.message} Ask without "after" for a new position, and fetch the calls since the last answer as a list.`,
      );
    }
  }
}

function cursorOf(text: string): FollowCursor {
  const cursor = parseFollowCursor(text);
  if (cursor === null) throw badField('query', 'after', 'must be the value of next in a previous answer');
  return cursor;
}
