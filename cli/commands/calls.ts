/**
 * `imdswatch calls` prints the single calls that are still kept, one JSON value a line, in our own shape or in that of another
 * system, newest first. It reads the collector's store on this machine, or asks a collector elsewhere.
 */
import { once } from 'node:events';
import * as z from 'zod';
import { workloadRules } from '../../collector/config.ts';
import { type ServedCall, servedCall } from '../../collector/contract/served_call.ts';
import { openForReading, shapedCallLines } from '../../collector/local.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, COLLECTOR_FILE, judgingOptions } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { escapedJson } from '../terminal/visible_text.ts';
import { parseSince } from './offenders.ts';

const PAGE = 1000;
/** The longest window of a question to a collector. */
const ALL_DAYS = '3650';
const VERSIONS = { 1: 1, 2: 2 } as const;

const callsSettings = z.object({
  ...anyCollectorShape,
  since: z
    .string()
    .default('24h')
    .describe(
      'Only calls since this time or for this long, from the beginning of its hour: 30m, 24h, 14d, a time such as 2026-11-22T08:00:00Z, or all.',
    ),
  format: z
    .enum(['native', 'otlp', 'ocsf', 'ecs'])
    .default('native')
    .describe(
      'Shape of the lines (see docs/integrations.md). otlp: one request of OTLP JSON with up to 100 calls a line; ocsf: events of OCSF 1.5; ecs: documents of ECS 9.4.',
    ),
  imds_version: z.enum(['1', '2']).optional().describe('Only calls of this version of IMDS.'),
});
type Settings = z.infer<typeof callsSettings>;

export async function run(argv: string[]): Promise<number> {
  const { settings, given } = loadSettings(callsSettings, {
    command: 'calls',
    summary: 'Prints the single calls that are kept, newest first, one JSON value a line.',
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
  });
  const client = collectorClientOf(settings, given);
  const linesOf = shapedCallLines(settings.format) ?? nativeLines;
  try {
    const pages = client === null ? storedPages(settings) : remotePages(settings, client);
    for await (const calls of pages) await print(escapedJson([...linesOf(calls)].join('')));
  } finally {
    client?.close();
  }
  return 0;
}

function nativeLines(calls: readonly ServedCall[]): string[] {
  return calls.map((call) => `${JSON.stringify(call)}\n`);
}

/** Waits while the reader of the output is slower: no more than a page is in memory. */
async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

async function* storedPages(settings: Settings): AsyncGenerator<ServedCall[]> {
  const rules = workloadRules(settings);
  const untilUs = Date.now() * 1000;
  const sinceUs = settings.since === 'all' ? 0 : parseSince(settings.since, Date.now()) * 1000;
  const version = settings.imds_version === undefined ? null : VERSIONS[settings.imds_version];
  const filter = {
    ...{ window: { sinceUs, untilUs }, version, hosts: null, identities: null },
    ...{ categories: null, outcomes: null, path: null },
  } as const;
  const { store, close } = await openForReading(settings, judgingOptions(settings));
  try {
    let cursor: string | null = null;
    do {
      const { calls, next }: Awaited<ReturnType<typeof store.calls>> = await store.calls(
        filter,
        PAGE,
        cursor,
      );
      yield calls.map((call) => ({ ...call, offender: rules.workloadIdOfCall(call) }));
      cursor = next;
    } while (cursor !== null);
  } finally {
    await close();
  }
}

async function* remotePages(settings: Settings, client: CollectorClient): AsyncGenerator<ServedCall[]> {
  const page = z.object({ items: z.array(servedCall), next: z.string().nullable() });
  const query = new URLSearchParams({ limit: String(PAGE) });
  if (settings.since === 'all') query.set('days', ALL_DAYS);
  else query.set('from', new Date(parseSince(settings.since, Date.now())).toISOString());
  if (settings.imds_version !== undefined) query.set('version', settings.imds_version);
  for (;;) {
    const { items, next } = await client.get(`/calls?${query}`, page);
    yield items;
    if (next === null) return;
    query.set('cursor', next);
  }
}
