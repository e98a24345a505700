/** Asks a collector which hosts are ready, for `imdswatch scan`: over HTTP, or in its store on this machine. */
import * as z from 'zod';
import { host as hostShape } from '../collector/contract/host.ts';
import type { JudgingOptions, StorePlace } from '../collector/local.ts';
import type { WatchedHost } from '../scan/readiness.ts';
import type { CollectorClient } from './collector_client/collector_client.ts';
import { localReport } from './local_report.ts';

/** Hosts whose offenders are asked for. */
const MAX_DETAILS = 50;

const served = hostShape.pick({
  id: true,
  tags: true,
  verdict: true,
  start_seen: true,
  last_v1: true,
  first_seen: true,
});
const detail = z.object({ readiness: z.object({ offenders: z.array(z.object({ title: z.string() })) }) });

/** Throws `OperatorError` when the store cannot be opened. */
export async function hostsInStore(place: StorePlace, options: JudgingOptions): Promise<WatchedHost[]> {
  return localReport(place, options, async ({ insight }) => {
    const untilUs = Date.now() * 1000;
    const sinceUs = untilUs - options.readinessWindowDays * 86_400_000_000;
    const found: WatchedHost[] = [];
    for await (const hosts of insight.allReadiness({ window: { sinceUs, untilUs } })) {
      for (const { host, readiness } of hosts) {
        found.push(
          watchedHost(
            host,
            readiness.offenders.map(({ title }) => title),
          ),
        );
      }
    }
    return found;
  });
}

/** Throws `OperatorError` when the collector does not answer or refuses. */
export async function hostsOfCollector(client: CollectorClient): Promise<WatchedHost[]> {
  const found = await client.list('/hosts', served);
  const blocked = found.filter(({ verdict }) => ['blocked', 'fallback', 'rejected'].includes(verdict));
  const named = new Map<string, string[]>();
  for (const { id } of blocked.slice(0, MAX_DETAILS)) {
    const { readiness } = await client.get(`/hosts/${encodeURIComponent(id)}`, detail);
    named.set(
      id,
      readiness.offenders.map(({ title }) => title),
    );
  }
  return found.map((host) => watchedHost(host, named.get(host.id) ?? []));
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
