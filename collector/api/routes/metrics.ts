import { z } from '@hono/zod-openapi';
import type { ApiApp } from '../env.ts';
import type { Findings } from '../metrics.ts';
import type { ApiParts } from '../parts.ts';
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
  const findings = new ScrapedFindings(parts);
  app.openapi(metricsRoute, async (c) => {
    const text = await metrics.text(counters(), await findings.latest());
    return c.text(text, 200, { 'Content-Type': metrics.contentType() });
  });
}

/** Where findings take longer than this, a scrape shows those of the scrape before, and has the next ones worked out. */
const CHEAP_MS = 50;
const RENEWED_AFTER_MS = 10_000;
const MAX_AGE_MS = 300_000;

class ScrapedFindings {
  readonly #parts: ApiParts;
  #last: { findings: Findings; atMs: number; costMs: number } | null = null;
  #asking: Promise<Findings | null> | null = null;

  constructor(parts: ApiParts) {
    this.#parts = parts;
  }

  /** Null: the store does not answer. That must not take the rest of the metrics with it: they tell what is wrong. */
  async latest(): Promise<Findings | null> {
    const last = this.#last;
    const ageMs = last === null ? Number.POSITIVE_INFINITY : performance.now() - last.atMs;
    if (last === null || last.costMs < CHEAP_MS || ageMs > MAX_AGE_MS) return await this.#ask();
    if (ageMs > RENEWED_AFTER_MS) void this.#ask();
    return { ...last.findings, ageSeconds: ageMs / 1000 };
  }

  #ask(): Promise<Findings | null> {
    this.#asking ??= this.#askStore().finally(() => {
      this.#asking = null;
    });
    return this.#asking;
  }

  async #askStore(): Promise<Findings | null> {
    const { insight, store, defaultWindowDays, log } = this.#parts;
    const beganMs = performance.now();
    try {
      const question = questionOf({}, defaultWindowDays);
      const [overview, offenders, statistics] = await Promise.all([
        insight.overview(question, {}),
        insight.offenders(question, {}),
        store.statistics(),
      ]);
      const findings = { overview, offenders, statistics, ageSeconds: 0 };
      const atMs = performance.now();
      this.#last = { findings, atMs, costMs: atMs - beganMs };
      return findings;
    } catch (error) {
      this.#last = null;
      log.warn({ reason: (error as Error).message }, 'metrics go without findings');
      return null;
    }
  }
}
