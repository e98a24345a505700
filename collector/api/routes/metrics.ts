import { z } from '@hono/zod-openapi';
import { Coalesced } from '../coalesced.ts';
import type { ApiApp } from '../env.ts';
import type { Findings } from '../fleet_metrics.ts';
import type { ApiParts } from '../parts.ts';
import { questionOf } from '../question.ts';
import { route } from '../route.ts';

const metricsRoute = route({
  method: 'get',
  path: '/metrics',
  tags: ['operation'],
  summary: 'Metrics for Prometheus',
  description:
    "Prometheus needs a viewer's token (`authorization: {credentials_file: …}` in the scrape configuration).",
  responses: {
    200: {
      description: "Metrics in Prometheus' text format.",
      content: { 'text/plain': { schema: z.string() } },
    },
  },
});

export function metricsRoutes(app: ApiApp, parts: ApiParts): void {
  const { metrics, counters } = parts;
  const findings = new ScrapedFindings(parts);
  app.openapi(metricsRoute, async (c) => {
    const [latest, problem, copies] = await Promise.all([
      findings.latest(),
      parts.unready(),
      parts.storage().then(
        (found) => found.copies,
        () => null,
      ),
    ]);
    const text = await metrics.text(counters(), latest, {
      isReady: problem === null,
      copies,
      leases: parts.leases(),
      ...parts.observed(),
      reader: parts.reader(),
    });
    return c.text(text, 200, { 'Content-Type': metrics.contentType() });
  });
}

const RENEWED_AFTER_MS = 10_000;
const MAX_AGE_MS = 300_000;

/**
 * The findings for scrapes. Where they are expensive, a scrape shows those of an earlier scrape and has them
 * renewed.
 */
class ScrapedFindings {
  readonly #parts: ApiParts;
  readonly #answers = new Coalesced({
    lifetime: () => ({ renewAfterMs: RENEWED_AFTER_MS, keepMs: MAX_AGE_MS }),
    maxAnswers: 1,
  });

  constructor(parts: ApiParts) {
    this.#parts = parts;
  }

  /**
   * Returns null where the store does not answer. The other metrics are served without it: they show what is
   * wrong.
   */
  async latest(): Promise<Findings | null> {
    try {
      const { findings, atMs } = await this.#answers.answer('findings', () => this.#askStore());
      return { ...findings, ageSeconds: (performance.now() - atMs) / 1000 };
    } catch {
      return null;
    }
  }

  async #askStore(): Promise<{ findings: Omit<Findings, 'ageSeconds'>; atMs: number }> {
    const { views, store, access, alerts, defaultWindowDays, metricsGroupTag, log } = this.#parts;
    try {
      const question = questionOf({}, defaultWindowDays);
      const { insight } = views.of(null);
      const [overview, offenders, statistics, retention, destinations, groups] = await Promise.all([
        insight.overview(question, {}),
        insight.offenders(question, {}),
        store.statistics(),
        access.retention(),
        alerts.destinations(),
        metricsGroupTag === null ? null : insight.readinessGroups({ tag: metricsGroupTag }, question),
      ]);
      const maxBytes = retention.max_bytes;
      const findings = { overview, offenders, statistics, maxBytes, destinations, groups };
      return { findings, atMs: performance.now() };
    } catch (error) {
      // The next scrape must not show old findings as if the store still answered.
      this.#answers.forget();
      log.warn({ reason: (error as Error).message }, 'metrics are served without findings: the store failed');
      throw error;
    }
  }
}
