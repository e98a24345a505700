/** Asks a collector which hosts are ready, for `imdswatch scan`: over HTTP, or in its store on this machine. */
import * as z from 'zod';
import { host as hostShape } from '../collector/contract/host.ts';
import { type InsightOptions, openForReading } from '../collector/local.ts';
import { OperatorError } from '../common/operator_error.ts';
import type { WatchedHost } from '../scan/readiness.ts';

const TIMEOUT_MS = 30_000;
/** Pages of hosts that are read, and hosts whose offenders are asked for. */
const MAX_PAGES = 200;
const MAX_DETAILS = 50;

const served = hostShape.pick({
  id: true,
  tags: true,
  verdict: true,
  start_seen: true,
  last_v1: true,
  first_seen: true,
});
const page = z.object({ items: z.array(served), next: z.string().nullable() });
const detail = z.object({ readiness: z.object({ offenders: z.array(z.object({ title: z.string() })) }) });

/** Throws `OperatorError` when the store cannot be opened. */
export async function hostsInStore(dataDir: string, options: InsightOptions): Promise<WatchedHost[]> {
  const { insight, close } = openForReading(dataDir, options);
  try {
    const untilUs = Date.now() * 1000;
    const sinceUs = untilUs - options.readinessWindowDays * 86_400_000_000;
    const hosts = await insight.readiness({ window: { sinceUs, untilUs } }, {});
    return hosts.map(({ host, readiness }) =>
      watchedHost(
        host,
        readiness.offenders.map(({ title }) => title),
      ),
    );
  } finally {
    await close();
  }
}

/** Throws `OperatorError` when the collector does not answer or refuses. */
export async function hostsOfCollector(url: string, token: string | undefined): Promise<WatchedHost[]> {
  const hosts: WatchedHost[] = [];
  let next: string | null = null;
  let details = 0;
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    const query: string = next === null ? '' : `?cursor=${encodeURIComponent(next)}`;
    const answer = page.parse(await ask(url, `/api/v1/hosts${query}`, token));
    for (const host of answer.items) {
      const isBlocked = ['blocked', 'fallback', 'rejected'].includes(host.verdict);
      const offenders =
        isBlocked && details++ < MAX_DETAILS
          ? detail.parse(await ask(url, `/api/v1/hosts/${encodeURIComponent(host.id)}`, token)).readiness
              .offenders
          : [];
      hosts.push(
        watchedHost(
          host,
          offenders.map(({ title }) => title),
        ),
      );
    }
    next = answer.next;
    if (next === null) return hosts;
  }
  throw new OperatorError(
    1,
    `The collector ${url} lists more hosts than ${MAX_PAGES} pages hold. Scan with --local-hosts there.`,
  );
}

async function ask(base: string, path: string, token: string | undefined): Promise<unknown> {
  const url = new URL(path, base);
  let answer: Response;
  try {
    answer = await fetch(url, {
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      redirect: 'error',
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const cause = (error as Error).cause;
    const reason = cause instanceof Error ? cause.message : (error as Error).message;
    throw new OperatorError(
      1,
      `The collector ${base} does not answer: ${reason}. Check the address and its certificate.`,
    );
  }
  if (answer.status === 401 || answer.status === 403) {
    throw new OperatorError(
      3,
      `The collector ${base} refuses access (${answer.status}). Give a token of a viewer in IMDSWATCH_COLLECTOR_TOKEN.`,
    );
  }
  if (!answer.ok)
    throw new OperatorError(
      1,
      `The collector ${base} answered ${answer.status} for ${path}. Check its version and log.`,
    );
  return answer.json();
}

function watchedHost(host: z.infer<typeof served>, offenders: string[]): WatchedHost {
  return {
    id: host.id,
    tags: host.tags,
    verdict: host.verdict,
    startSeen: host.start_seen,
    lastV1: host.last_v1 === null ? null : Date.parse(host.last_v1),
    firstSeen: Date.parse(host.first_seen),
    offenders,
  };
}
