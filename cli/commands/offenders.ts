/**
 * `imdswatch offenders` lists the IMDSv1 callers in the collector's store on this machine, or of a collector elsewhere,
 * the most serious first.
 */
import * as z from 'zod';
import type { BurnDown, FixFirst } from '../../collector/contract/fix_first.ts';
import type { Offender } from '../../collector/contract/offender.ts';
import type { Window } from '../../collector/contract/window.ts';
import type { JudgingOptions, StorePlace, StoreQueries } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';
import { localReport } from '../local_report.ts';
import { burnDownOf, fixFirstOf, offendersOf } from '../remote_questions.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, COLLECTOR_FILE, judgingOptions } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { burnDownTable } from '../terminal/burn_down_table.ts';
import { fixFirstTable } from '../terminal/fix_first_table.ts';
import { offendersTable } from '../terminal/offenders_table.ts';
import { visibleJson } from '../terminal/visible_text.ts';

/** A window has too few points for a trend. The page shows as many days. */
const BURN_DOWN_DAYS = 90;
const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const offendersSettings = z.object({
  ...anyCollectorShape,
  since: z
    .string()
    .optional()
    .describe(
      'Count only calls since this time or for this long: 30m, 24h, 14d, a time such as 2026-11-22T08:00:00Z, or all. Default: the readiness window, as on the page.',
    ),
  all: z.boolean().default(false).describe('Also list callers that use only IMDSv2.'),
  fix_first: z
    .boolean()
    .default(false)
    .describe('List the few workloads whose fix frees the most hosts, in the order in which to fix them.'),
  burn_down: z
    .boolean()
    .default(false)
    .describe(
      `Print how the number of hosts and workloads with IMDSv1 calls falls over ${BURN_DOWN_DAYS} days, with a forecast of the last call.`,
    ),
  json: z.boolean().default(false).describe('Print JSON instead of a table.'),
});

export async function run(argv: string[]): Promise<number> {
  const { settings, given } = loadSettings(offendersSettings, {
    command: 'offenders',
    summary: 'Lists the programs that still call IMDSv1, the most serious first.',
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
  });
  const client = collectorClientOf(settings, given);
  if (settings.fix_first || settings.burn_down) {
    return overReadinessWindow(settings, client).finally(() => client?.close());
  }
  const offenders = await (client === null
    ? localOffenders(settings)
    : remoteOffenders(settings, client).finally(() => client.close()));
  if (settings.json) {
    process.stdout.write(`${visibleJson(offenders, 2)}\n`);
  } else {
    const { columns, isTTY } = process.stdout;
    const colour = isTTY === true && !process.env['NO_COLOR'];
    process.stdout.write(offendersTable(offenders, { columns: columns ?? 100, colour, all: settings.all }));
  }
  return 0;
}

function localOffenders(settings: z.infer<typeof offendersSettings>): Promise<Offender[]> {
  const since = settings.since ?? `${settings.readiness_window_days}d`;
  const sinceMs = since === 'all' ? null : parseSince(since, Date.now());
  return readOffenders(settings, { sinceMs, all: settings.all }, judgingOptions(settings));
}

function remoteOffenders(
  { since, all }: z.infer<typeof offendersSettings>,
  client: CollectorClient,
): Promise<Offender[]> {
  const asked = since === undefined ? null : since === 'all' ? 'all' : parseSince(since, Date.now());
  return offendersOf(client, { since: asked, withHarmless: all });
}

/** Prints what to fix first, or the burn-down. Both are about the readiness window. */
async function overReadinessWindow(
  settings: z.infer<typeof offendersSettings>,
  client: CollectorClient | null,
): Promise<number> {
  const { fix_first: isFixFirst, burn_down: isBurnDown, json } = settings;
  if (isFixFirst && isBurnDown)
    throw new OperatorError(2, '--fix-first and --burn-down are two answers: run the command twice.');
  if (settings.since !== undefined || settings.all) {
    throw new OperatorError(
      2,
      isFixFirst
        ? '--fix-first judges hosts over the readiness window: leave out --since and --all. --readiness-window-days changes the window.'
        : '--burn-down counts calls over the readiness window of each day: leave out --since and --all. --readiness-window-days changes the window.',
    );
  }
  if (isFixFirst) {
    const answer = client === null ? await localFixFirst(settings) : await fixFirstOf(client);
    print(answer, json, fixFirstTable(answer, process.stdout.columns ?? 100));
  } else {
    const answer = client === null ? await localBurnDown(settings) : await burnDownOf(client, BURN_DOWN_DAYS);
    print(answer, json, burnDownTable(answer));
  }
  return 0;
}

function print(answer: unknown, json: boolean, table: string): void {
  process.stdout.write(json ? `${visibleJson(answer, 2)}\n` : table);
}

async function localBurnDown(settings: z.infer<typeof offendersSettings>): Promise<BurnDown> {
  return localReport(settings, judgingOptions(settings), ({ insight }) => {
    const untilUs = Date.now() * 1000;
    const sinceUs = untilUs - BURN_DOWN_DAYS * UNIT_MS['d']! * 1000;
    return insight.burnDown({ window: { sinceUs, untilUs } });
  });
}

async function localFixFirst(settings: z.infer<typeof offendersSettings>): Promise<FixFirst> {
  return localReport(settings, judgingOptions(settings), ({ insight }) => {
    const untilUs = Date.now() * 1000;
    const sinceUs = untilUs - settings.readiness_window_days * UNIT_MS['d']! * 1000;
    return insight.fixFirst({ window: { sinceUs, untilUs } });
  });
}

/**
 * Returns the offenders of a store, which a collector may be writing to at the same time. With `sinceMs` null
 * all stored calls count. Throws `OperatorError`.
 */
export async function readOffenders(
  place: StorePlace,
  { sinceMs, all }: { sinceMs: number | null; all: boolean },
  options: JudgingOptions,
): Promise<Offender[]> {
  return localReport(place, options, async ({ store, insight }) => {
    const window = await windowSince(store, sinceMs);
    const offenders = await insight.offenders({ window });
    return all ? offenders : offenders.filter(({ severity }) => severity !== 'none');
  });
}

/** Returns the window from `sinceMs`, or from the first stored call when it is null, until now. */
async function windowSince(store: StoreQueries, sinceMs: number | null): Promise<Window> {
  const span = await store.reportedSpan();
  // A host's clock may be ahead, and its stored calls must be listed too.
  const untilUs = Math.max((span?.lastUs ?? 0) + 1, Date.now() * 1000);
  const sinceUs = sinceMs === null ? (span?.firstUs ?? untilUs) : sinceMs * 1000;
  return { sinceUs: Math.min(sinceUs, untilUs), untilUs };
}

/** Returns milliseconds since 1970. Throws `OperatorError` (exit code 2). */
export function parseSince(text: string, nowMs: number): number {
  const span = /^(\d+)([smhd])$/.exec(text);
  if (span !== null) return nowMs - Number(span[1]) * UNIT_MS[span[2]!]!;
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time)) {
    throw new OperatorError(
      2,
      `--since is "${text}": use a duration such as 30m, 24h or 14d, a time such as 2026-11-22T08:00:00Z, or all.`,
    );
  }
  return time;
}
