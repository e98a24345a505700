/**
 * `imdswatch reconcile FILE…` stores the cloud's own counts and compares them with the calls that the agents
 * saw.
 *
 * The command writes to the collector's files on this machine while the collector runs; SQLite lets two
 * writers take turns. It needs no token: a user who can write these files is an admin already. With
 * `--collector` it sends the counts to a collector elsewhere, with a token of an admin.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import * as z from 'zod';
import type { CloudCountInput } from '../../collector/contract/cloud.ts';
import { readCloudFile } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { sendAndCompare } from '../remote_figures.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, COLLECTOR_FILE, judgingOptions } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { storeAndCompare } from '../stored_figures.ts';
import { reconciliationTable } from '../terminal/reconciliation_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const MAX_FILE_BYTES = 64 * 1024 * 1024;

const reconcileSettings = z.object({
  ...anyCollectorShape,
  instance_id: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('Instance that the counts belong to, for files that do not name it (get-metric-statistics).'),
  period_seconds: z
    .int()
    .min(60)
    .max(86_400)
    .default(3600)
    .describe('Period of the CloudWatch query in seconds, for results whose label does not contain it.'),
  json: z.boolean().default(false).describe('Print JSON instead of a table.'),
});

/**
 * Returns 0 also when the cloud counted more calls; `readiness` then says `unproven`. Throws `OperatorError`
 * before anything is stored.
 */
export async function run(argv: string[]): Promise<number> {
  const { settings, positionals, given } = loadSettings(reconcileSettings, {
    command: 'reconcile',
    summary:
      "Stores the cloud's counts of calls without a token (MetadataNoToken) and its metadata options, and compares the counts with the calls that the agents saw.",
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
    positionals: ['FILE', '[FILE...]'],
  });
  const options = { instanceId: settings.instance_id ?? null, periodSeconds: settings.period_seconds };
  // All files are read first: an invalid one must not leave half of the counts stored.
  const figures = positionals.map((file) => readCloudFile(basename(file), readText(file), options));
  const counts = merged(figures.flatMap((figure) => figure.counts));
  const instances = figures.flatMap((figure) => figure.instances);
  const inventory = {
    instances: figures.flatMap((figure) => figure.inventory.instances),
    resources: figures.flatMap((figure) => figure.inventory.resources),
  };
  const figuresOfAll = { counts, instances, inventory };
  const client = collectorClientOf(settings, given);
  const results =
    client === null
      ? await storeAndCompare(figuresOfAll, {
          place: settings,
          judging: judgingOptions(settings),
          source: `${positionals.length} files`,
        })
      : await sendAndCompare(figuresOfAll, client).finally(() => client.close());
  for (const [reason, count] of figures.flatMap(({ ignored }) => Object.entries(ignored))) {
    process.stderr.write(`Left out: ${count} ${visibleText(reason)}.\n`);
  }
  process.stderr.write(
    `Stored ${counts.length} counts and the metadata options of ${instances.length} instances.\n`,
  );
  if (counts.length === 0) return 0;
  process.stdout.write(settings.json ? `${visibleJson(results, 2)}\n` : reconciliationTable(results));
  return 0;
}

/**
 * Merges the counts of all files: the two metrics of one span may be in two files. Throws `OperatorError`
 * when two files contradict each other.
 */
function merged(counts: readonly CloudCountInput[]): CloudCountInput[] {
  const bySpan = new Map<string, CloudCountInput>();
  for (const count of counts) {
    const key = JSON.stringify([count.instance_id, Date.parse(count.start)]);
    const known = bySpan.get(key);
    if (known === undefined) {
      bySpan.set(key, count);
      continue;
    }
    const rejected = [known, count].flatMap(({ metadata_no_token_rejected: count }) =>
      count === null ? [] : [count],
    );
    const noToken = [known, count].filter(
      ({ metadata_no_token: calls, metadata_no_token_rejected: refused }) => calls > 0 || refused === null,
    );
    const differs = (values: number[]) => new Set(values).size > 1;
    if (
      Date.parse(known.end) !== Date.parse(count.end) ||
      differs(rejected) ||
      differs(noToken.map((entry) => entry.metadata_no_token))
    ) {
      throw new OperatorError(
        1,
        `The files have different counts for ${count.instance_id} from ${count.start} on. Nothing was stored. Pass only one of these files.`,
      );
    }
    bySpan.set(key, {
      ...known,
      metadata_no_token: noToken[0]?.metadata_no_token ?? 0,
      metadata_no_token_rejected: rejected[0] ?? null,
    });
  }
  return [...bySpan.values()];
}

function readText(file: string): string {
  let descriptor: number | null = null;
  try {
    descriptor = openSync(file, 'r');
    const { size } = fstatSync(descriptor);
    if (size > MAX_FILE_BYTES) {
      throw new OperatorError(
        1,
        `${file} has ${size} bytes; the limit is ${MAX_FILE_BYTES}. Split the file.`,
      );
    }
    return readFileSync(descriptor, 'utf8');
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw new OperatorError(
      1,
      `${file} cannot be read: ${(error as Error).message}. Check the name and the permissions.`,
      { cause: error },
    );
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}
