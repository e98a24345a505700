/**
 * `imdswatch calls` prints the single calls that are still kept, one JSON value a line, in our own shape or in that of another
 * system, newest first. It reads the collector's store on this machine, or asks a collector elsewhere. With `--follow` it goes
 * on with each call that a collector stores, in the order of their arrival.
 */
import { once } from 'node:events';
import { resolve } from 'node:path';
import * as z from 'zod';
import { workloadRules } from '../../collector/config.ts';
import { type ServedCall, servedCall } from '../../collector/contract/served_call.ts';
import { openForReading, shapedCallLines } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';
import { readCursorFile, writeCursorFile } from '../follow/cursor_file.ts';
import { type Ask, followCalls, sayOnStderr } from '../follow/follow_calls.ts';
import { LineFile } from '../follow/line_file.ts';
import { StandardOutput } from '../follow/standard_output.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, COLLECTOR_FILE, judgingOptions } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { untilSignal } from '../signals.ts';
import { escapedJson } from '../terminal/visible_text.ts';
import { parseSince } from './offenders.ts';

const PAGE = 1000;
/** The longest window of a question to a collector. */
const ALL_DAYS = '3650';
/** A call's time is its host's, which may be ahead. */
const AHEAD_MS = 86_400_000;
const VERSIONS = { 1: 1, 2: 2 } as const;

const callsSettings = z.object({
  ...anyCollectorShape,
  since: z
    .string()
    .default('24h')
    .describe(
      'Only calls since this time or for this long: 30m, 24h, 14d, a time such as 2026-11-22T08:00:00Z, or all.',
    ),
  format: z
    .enum(['native', 'otlp', 'ocsf', 'ecs'])
    .default('native')
    .describe(
      'Shape of the lines (see docs/integrations.md). otlp: one request of OTLP JSON with up to 100 calls a line; ocsf: events of OCSF 1.5; ecs: documents of ECS 9.4.',
    ),
  imds_version: z.enum(['1', '2']).optional().describe('Only calls of this version of IMDS.'),
  follow: z
    .boolean()
    .default(false)
    .describe(
      'Print each call that the collector stores from now on, in the order in which it stores them, until the command is ended. It needs --collector. With --since, the calls that are stored already come first.',
    ),
  cursor_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'With --follow: file that keeps the position, so that the command goes on where it ended. It is written when the lines before it are on the disk or in the pipe.',
    ),
  after: z
    .string()
    .regex(/^[0-9a-f.-]{5,80}$/, 'must be a cursor that this command has printed at its end')
    .optional()
    .describe(
      'With --follow: begin after this cursor, which the command prints at its end, in place of a file.',
    ),
  skip_deleted: z
    .boolean()
    .default(false)
    .describe(
      'With --follow: go on where calls were deleted before they were read, and print their number on stderr. Otherwise the command ends with exit code 4.',
    ),
  output: z
    .string()
    .min(1)
    .optional()
    .describe('With --follow: append the lines to this file, for a log shipper to read. Default: stdout.'),
  output_max_bytes: z
    .int()
    .min(65_536)
    .default(104_857_600)
    .describe('With --output: a file that would become larger is renamed to FILE.1, and a new one begins.'),
  output_files: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe('With --output: renamed files that are kept. The oldest one is deleted, read or not.'),
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
  checkFollow(settings, given);
  const client = collectorClientOf(settings, given);
  const shaped = shapedCallLines(settings.format) ?? nativeLines;
  const linesOf = (calls: readonly ServedCall[]) => [...shaped(calls)].map(escapedJson);
  try {
    if (settings.follow) return await follow(settings, client!, given.has('since'), linesOf);
    const pages = client === null ? storedPages(settings) : remotePages(settings, client);
    for await (const calls of pages) await print(linesOf(calls).join(''));
  } finally {
    client?.close();
  }
  return 0;
}

/** Throws `OperatorError` (2) for settings that have no effect together. */
function checkFollow(settings: Settings, given: ReadonlySet<string>): void {
  const alone = [
    'cursor_file',
    'after',
    'skip_deleted',
    'output',
    'output_max_bytes',
    'output_files',
  ] as const;
  const unused = settings.follow ? undefined : alone.find((key) => given.has(key));
  const flag = (key: string) => `--${key.replaceAll('_', '-')}`;
  if (unused !== undefined)
    throw new OperatorError(2, `${flag(unused)} is for --follow: add it, or leave ${flag(unused)} out.`);
  if (!settings.follow) return;
  if (settings.collector === undefined) {
    throw new OperatorError(
      2,
      "--follow needs --collector, also on the collector's own machine (https://127.0.0.1:8787): the order of calls is noted by the running collector.",
    );
  }
  if (settings.after !== undefined && settings.cursor_file !== undefined) {
    throw new OperatorError(2, '--after and --cursor-file are two positions: give one of them.');
  }
}

async function follow(
  settings: Settings,
  client: CollectorClient,
  isSinceGiven: boolean,
  linesOf: (calls: readonly ServedCall[]) => string[],
): Promise<number> {
  const { cursor_file: cursorFile, output: path, output_max_bytes: maxBytes, output_files: kept } = settings;
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  const stored = cursorFile === undefined ? null : readCursorFile(resolve(cursorFile), client.url);
  let reached = settings.after ?? stored?.cursor ?? null;
  const output =
    path === undefined ? new StandardOutput() : new LineFile({ path: resolve(path), maxBytes, kept });
  const isWanted = ({ 'imds.version': version }: ServedCall) =>
    settings.imds_version === undefined || version === VERSIONS[settings.imds_version];
  try {
    return await followCalls({
      ...{ client, after: reached, afterTime: stored?.time ?? null, output, say: sayOnStderr },
      linesOf: (calls) => linesOf(calls.filter(isWanted)),
      save: (cursor, time) => {
        reached = cursor;
        if (cursorFile !== undefined)
          writeCursorFile(resolve(cursorFile), { collector: client.url, cursor, time });
      },
      stored: isSinceGiven ? (ask) => remotePages(settings, client, ask) : null,
      skipsDeleted: settings.skip_deleted,
      signal: stop.signal,
    });
  } finally {
    output.close();
    if (cursorFile === undefined && reached !== null) sayOnStderr(`To go on later: --after ${reached}`);
  }
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

/** With `ask` all calls that are stored by now, also those whose host has a clock that is ahead. */
async function* remotePages(
  settings: Settings,
  client: CollectorClient,
  ask?: Ask,
): AsyncGenerator<ServedCall[]> {
  const page = z.object({ items: z.array(servedCall), next: z.string().nullable() });
  const query = new URLSearchParams({ limit: String(PAGE) });
  const since = settings.since === 'all' ? null : parseSince(settings.since, Date.now());
  if (since === null) query.set('days', ALL_DAYS);
  else query.set('from', new Date(since).toISOString());
  if (ask !== undefined) query.set('to', new Date(Date.now() + AHEAD_MS).toISOString());
  if (settings.imds_version !== undefined) query.set('version', settings.imds_version);
  for (;;) {
    const question = () => client.get(`/calls?${query}`, page);
    const { items, next } = await (ask === undefined ? question() : ask(question));
    yield items;
    if (next === null) return;
    query.set('cursor', next);
  }
}
