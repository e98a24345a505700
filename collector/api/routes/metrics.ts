import { z } from '@hono/zod-openapi';
import type { Findings } from '../metrics.ts';
import type { ApiApp, ApiParts } from '../parts.ts';
import { questionOf } from '../question.ts';
import { route } from '../route.ts';

const metricsRoute = route({
  method: 'get',
  path: '/metrics',
  tags: ['operation'],
  summary: 'Metrics for Prometheus',
  description:
    "Prometheus shows a viewer's token (`authorization: {credentials_file: …}` of the scrape configuration).",
  responses: {
    200: { description: "Prometheus' text format.", content: { 'text/plain': { schema: z.string() } } },
  },
});

export function metricsRoutes(app: ApiApp, parts: ApiParts): void {
  const { metrics, counters } = parts;
  app.openapi(metricsRoute, async (c) => {
    const text = await metrics.text(counters(), await findingsOf(parts));
    return c.text(text, 200, { 'Content-Type': metrics.contentType() });
  });
}

/** A store that does not answer must not take the rest of the metrics with it: they tell what is wrong. */
async function findingsOf({ insight, store, defaultWindowDays, log }: ApiParts): Promise<Findings | null> {
  try {
    const question = questionOf({}, defaultWindowDays);
    const [overview, offenders, statistics] = await Promise.all([
      insight.overview(question, {}),
      insight.offenders(question, {}),
      store.statistics(),
    ]);
    return { overview, offenders, statistics };
  } catch (error) {
    log.warn({ reason: (error as Error).message }, 'metrics go without findings');
    return null;
  }
}
