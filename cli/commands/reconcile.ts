/**
 * `imdswatch reconcile FILE…`: stores the cloud's own counts and holds them against what was seen.
 *
 * It writes to the collector's files on this machine by a connection of its own, while the collector runs: whoever can write them is
 * an admin already, no token has to lie about, and SQLite lets two writers take turns. From elsewhere the API takes the same figures.
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import * as z from 'zod';
import type { CloudCountInput } from '../../collector/contract/cloud.ts';
import { openForReading, readCloudFile, supplyCloudFigures } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { COLLECTOR_FILE, judgingOptions, judgingShape } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { reconciliationTable } from '../terminal/reconciliation_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const MAX_FILE_BYTES = 64 * 1024 * 1024;

const reconcileSettings = z.object({
  ...judgingShape,
  instance_id: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe('Whose figures these are, where a file does not say (get-metric-statistics).'),
  period_seconds: z
    .int()
    .min(60)
    .max(86_400)
    .default(3600)
    .describe("Period of the CloudWatch query, where a result's label does not say."),
  json: z.boolean().default(false).describe('Print JSON instead of a table.'),
});

/** 0 also where the cloud saw more: `readiness` then says `unproven`. Throws `OperatorError`; nothing is stored then. */
export async function run(argv: string[]): Promise<number> {
  const { settings, positionals } = loadSettings(reconcileSettings, {
    command: 'reconcile',
    summary:
      "Stores the cloud's counts of token-less calls (MetadataNoToken) and metadata options, and holds them against what was seen.",
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
    positionals: ['FILE', '[FILE...]'],
  });
  const options = { instanceId: settings.instance_id ?? null, periodSeconds: settings.period_seconds };
  // All files first: a bad one must not leave half of the figures behind.
  const figures = positionals.map((file) => readCloudFile(basename(file), readText(file), options));
  const counts = merged(figures.flatMap((of) => of.counts));
  const instances = figures.flatMap((of) => of.instances);
  // Says what is wrong (no store, another release) before anything is written.
  const { insight, close } = openForReading(settings.data_dir, judgingOptions(settings));
  try {
    supplyCloudFigures(settings.data_dir, { counts, instances }, positionals.length);
    for (const [reason, count] of figures.flatMap(({ ignored }) => Object.entries(ignored))) {
      process.stderr.write(`Left out: ${count} ${visibleText(reason)}.\n`);
    }
    process.stderr.write(
      `Stored ${counts.length} counts and the metadata options of ${instances.length} instances.\n`,
    );
    if (counts.length === 0) return 0;
    const starts = counts.map(({ start }) => Date.parse(start) * 1000);
    const ends = counts.map(({ end }) => Date.parse(end) * 1000);
    const window = {
      sinceUs: starts.reduce((a, b) => Math.min(a, b)),
      untilUs: ends.reduce((a, b) => Math.max(a, b)),
    };
    const ids = [...new Set(counts.map(({ instance_id }) => instance_id))];
    const found = (await insight.reconciliation({ window })).filter(({ id }) => ids.includes(id));
    process.stdout.write(settings.json ? `${visibleJson(found, 2)}\n` : reconciliationTable(found));
    return 0;
  } finally {
    await close();
  }
}

/**
 * The two metrics of one span may come in two files. Throws `OperatorError` where two files say different things of the same.
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
    const rejected = [known, count].flatMap(({ metadata_no_token_rejected: of }) =>
      of === null ? [] : [of],
    );
    const noToken = [known, count].filter(
      ({ metadata_no_token: of, metadata_no_token_rejected: refused }) => of > 0 || refused === null,
    );
    const differs = (values: number[]) => new Set(values).size > 1;
    if (
      Date.parse(known.end) !== Date.parse(count.end) ||
      differs(rejected) ||
      differs(noToken.map((of) => of.metadata_no_token))
    ) {
      throw new OperatorError(
        1,
        `The files say different things of ${count.instance_id} from ${count.start} on. Give one of them.`,
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
      throw new OperatorError(1, `${file} has ${size} bytes; at most ${MAX_FILE_BYTES} are read. Split it.`);
    }
    return readFileSync(descriptor, 'utf8');
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw new OperatorError(1, `${file} cannot be read: ${(error as Error).message}.`, { cause: error });
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}
