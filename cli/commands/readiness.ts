/** `imdswatch readiness`: which hosts are proven safe for `HttpTokens=required`, from the collector's store on this machine. */
import * as z from 'zod';
import {
  DEFAULT_MAX_MISSING_SECONDS,
  type HostFilter,
  openForReading,
  parseGroupBy,
} from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { loadSettings } from '../settings/settings.ts';
import { groupsTable, readinessTable } from '../terminal/readiness_table.ts';
import { visibleJson } from '../terminal/visible_text.ts';

const readinessSettings = z.object({
  data_dir: z
    .string()
    .min(1)
    .default('/var/lib/imdswatch/collector')
    .describe("Directory of the collector's store."),
  host: z.string().min(1).optional().describe('Only this host: its id, or its name.'),
  group_by: z
    .string()
    .optional()
    .describe('Count hosts by account, region, zone, type, image_id or tag:KEY instead of listing them.'),
  readiness_window_days: z
    .int()
    .min(1)
    .max(365)
    .default(14)
    .describe('How long a host must have been watched without a call that has no token.'),
  readiness_max_missing_seconds: z
    .number()
    .min(0)
    .max(86_400)
    .default(DEFAULT_MAX_MISSING_SECONDS)
    .describe('How much of that may be unwatched in all, for restarts. Losses are never tolerated.'),
  silent_after_seconds: z
    .int()
    .min(10)
    .max(86_400)
    .default(300)
    .describe('A host without a heartbeat for this long is silent.'),
  json: z.boolean().default(false).describe('Print JSON instead of a table.'),
});

/** 0 whatever the verdicts are; throws `OperatorError` where there is no store or no such host. */
export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(readinessSettings, {
    command: 'readiness',
    summary: 'Says which hosts are proven safe for HttpTokens=required, and why the others are not.',
    argv,
    env: process.env,
  });
  const groupBy = settings.group_by === undefined ? null : parseGroupBy(settings.group_by);
  if (settings.group_by !== undefined && groupBy === null) {
    throw new OperatorError(
      2,
      `--group-by is "${settings.group_by}": it must be account, region, zone, type, image_id or tag:KEY.`,
    );
  }
  const { store, insight, close } = openForReading(settings.data_dir, {
    readinessWindowDays: settings.readiness_window_days,
    readinessMaxMissingSeconds: settings.readiness_max_missing_seconds,
    silentAfterSeconds: settings.silent_after_seconds,
  });
  try {
    const filter = await filterFor(settings.host);
    const nowUs = Date.now() * 1000;
    const question = {
      window: { sinceUs: nowUs - settings.readiness_window_days * 86_400_000_000, untilUs: nowUs },
    };
    const columns = process.stdout.columns ?? 100;
    if (groupBy !== null) {
      const groups = await insight.groups(groupBy, question, filter);
      print(groups, () => groupsTable(groups, settings.group_by!, columns));
    } else {
      const hosts = await insight.readiness(question, filter);
      print(
        hosts.map(({ host, readiness }) => ({ ...host, readiness })),
        () => readinessTable(hosts, columns),
      );
    }
    return 0;
  } finally {
    await close();
  }

  async function filterFor(named: string | undefined): Promise<HostFilter> {
    if (named === undefined) return {};
    const ids = (await store.hosts())
      .filter(({ facts }) => facts.id === named || facts.name === named)
      .map(({ facts }) => facts.id);
    if (ids.length === 0) {
      throw new OperatorError(
        1,
        `No host "${named}" ever reported to this collector. Without --host all hosts are listed.`,
      );
    }
    return { ids };
  }

  function print(answer: unknown, table: () => string): void {
    process.stdout.write(settings.json ? `${visibleJson(answer, 2)}\n` : table());
  }
}
