/**
 * `imdswatch cloud sync` reads the inventory and the counts of the cloud with the operator's own credentials. It
 * is read only. The collector gets what was read, and no credentials.
 */
import { basename, dirname } from 'node:path';
import * as z from 'zod';
import type { CloudDocument, Reconciliation } from '../../collector/contract/cloud.ts';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';
import { requireAdmin } from '../collector_client/require_admin.ts';
import { sendAndCompare } from '../remote_figures.ts';
import { credentialsOf, credentialsShape } from '../settings/cloud_credentials.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, judgingOptions } from '../settings/local_collector.ts';
import { readSubcommand } from '../settings/subcommand.ts';
import { storeAndCompare } from '../stored_figures.ts';
import { reconciliationTable } from '../terminal/reconciliation_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const syncSettings = z.object({
  region: z
    .array(z.string().regex(/^[a-z]{2,}(-[a-z0-9]+)+$/, 'must be the name of a region, such as eu-central-1'))
    .optional()
    .describe('Regions to read, separated by commas. Default: AWS_REGION.'),
  ...credentialsShape,
  days: z
    .int()
    .min(1)
    .max(63)
    .default(14)
    .describe("Days of CloudWatch's counts. Up to 14 need few queries, more need two for each instance."),
  output: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Write a file for "imdswatch reconcile" and store nothing. For a machine that does not reach the collector.',
    ),
  json: z.boolean().default(false).describe('Print the comparison as JSON.'),
  ...anyCollectorShape,
});
type SyncSettings = z.infer<typeof syncSettings>;

const SUMMARIES = {
  sync: "Reads instances, groups, launch templates, account defaults and CloudWatch's counts, with your own credentials. Changes nothing in the cloud.",
};

/**
 * Returns 0, or 1 when a part could not be read: what was read is stored, and the rest is named. Throws
 * `OperatorError` (2) for settings, (1) if the own account cannot be reached.
 */
export async function run(argv: string[]): Promise<number> {
  const { load } = readSubcommand({ command: 'cloud', summaries: SUMMARIES, usage: usage(), argv });
  const { settings, given } = load(syncSettings);
  if (settings.output !== undefined && settings.collector !== undefined) {
    throw new OperatorError(
      2,
      '--output and --collector exclude each other: the file is for a machine that does not reach the collector. Leave one out.',
    );
  }
  const client = settings.output === undefined ? collectorClientOf(settings, given) : null;
  // Reading the cloud takes minutes, and is of no use for a token that may not supply it.
  if (client !== null) await requireAdmin(client, "to supply the cloud's figures");
  const { document, pending } = await read(settings);
  if (settings.output === undefined) await store(document, settings, client);
  else write(settings.output, document);
  client?.close();
  if (pending > 0) {
    process.stderr.write(
      `Left out: the metadata options of ${many(pending, 'instance')}, which are being changed.\n`,
    );
  }
  const problems = document.places.flatMap(({ account, region, problems: texts }) =>
    texts.map((text) => `${account}, ${region}: ${text}`),
  );
  for (const problem of problems) process.stderr.write(`NOT READ: ${visibleText(problem)}\n`);
  return problems.length === 0 ? 0 : 1;
}

async function read(settings: SyncSettings): Promise<{ document: CloudDocument; pending: number }> {
  const regions = settings.region ?? defaultRegions();
  const credentials = credentialsOf(settings);
  // The AWS SDK takes 93 MB of memory: the help must not load it.
  const { sync } = await import('../../enforce/cloud/sync.ts');
  return sync({ credentials, regions, days: settings.days, nowMs: Date.now() });
}

function defaultRegions(): string[] {
  const region = process.env['AWS_REGION'] ?? process.env['AWS_DEFAULT_REGION'];
  if (region !== undefined && region !== '') return [region];
  throw new OperatorError(2, 'No region is given. Name one or more with --region, or set AWS_REGION.');
}

async function store(
  document: CloudDocument,
  settings: SyncSettings,
  client: CollectorClient | null,
): Promise<void> {
  const { counts, metadata_options: instances, inventory } = document;
  const figures = { counts, instances, inventory };
  const compared =
    client === null
      ? await storeAndCompare(figures, {
          place: settings,
          judging: judgingOptions(settings),
          source: 'imdswatch cloud sync',
        })
      : await sendAndCompare(figures, client);
  process.stderr.write(`Stored ${contentsOf(document)}.\n`);
  if (settings.json) process.stdout.write(`${visibleJson(compared, 2)}\n`);
  else process.stdout.write(comparison(compared));
}

/** Lists only the hosts that differ: a fleet has thousands that agree. */
function comparison(compared: readonly Reconciliation[]): string {
  const differing = compared.filter(({ result, name }) => result !== 'agrees' && name !== null);
  const agreeing = compared.filter(({ result, name }) => result === 'agrees' && name !== null).length;
  const unknown = compared.filter(({ name }) => name === null).length;
  const lines = [
    `The counts of the cloud and of the agents agree on ${many(agreeing, 'host')}.`,
    ...(unknown === 0 ? [] : [`No agent ever reported from ${many(unknown, 'instance')} with counts.`]),
  ];
  const table = differing.length === 0 ? '' : reconciliationTable(differing);
  return `${lines.join('\n')}\n${table}`;
}

function write(file: string, document: CloudDocument): void {
  try {
    // Only its owner may read it: tags say much about an organisation.
    writeFileAtomically(dirname(file), basename(file), `${JSON.stringify(document)}\n`);
  } catch (error) {
    throw new OperatorError(
      1,
      `${file} cannot be written: ${(error as Error).message}. Check the directory and its permissions.`,
      { cause: error },
    );
  }
  process.stderr.write(
    `Wrote ${contentsOf(document)} to ${visibleText(file)}. Give it to the collector with "imdswatch reconcile", there or with --collector.\n`,
  );
}

function contentsOf({ counts, inventory: { instances, resources }, places }: CloudDocument): string {
  const ofKind = (kind: string) => resources.filter((resource) => resource.kind === kind).length;
  return [
    many(instances.length, 'instance'),
    many(ofKind('scaling_group'), 'Auto Scaling group'),
    many(ofKind('launch_template'), 'launch template'),
    many(counts.length, 'count'),
  ]
    .join(', ')
    .concat(` from ${places.map(({ account, region }) => `${account}/${region}`).join(', ')}`);
}

function many(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

function usage(): string {
  return `Reads the cloud. imdswatch changes nothing there with this command.

Usage: imdswatch cloud SUBCOMMAND [options]

  sync  ${SUMMARIES.sync}

"imdswatch cloud SUBCOMMAND --help" lists the options.
`;
}
