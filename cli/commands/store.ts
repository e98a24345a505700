/** `imdswatch store` works on the place where collectors keep their data: the embedded store, or PostgreSQL. */
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { storePlace } from '../../collector/config.ts';
import {
  changeSchemas,
  checkStore,
  copyStore,
  isEqual,
  placeOf,
  plannedChanges,
  type SchemaChange,
} from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { storeShape } from '../settings/local_collector.ts';
import { readSubcommand } from '../settings/subcommand.ts';
import { untilSignal } from '../signals.ts';
import { storeCheckText } from '../terminal/store_check_output.ts';
import { CopyProgressLine, comparisonTable } from '../terminal/transfer_output.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const PLACE =
  'the data_dir of an embedded store, or the address of a PostgreSQL database as in the setting store';
const json = z.boolean().default(false).describe('Print JSON.');

const migrateSettings = z.object({
  plan: z.boolean().default(false).describe('Print what would be changed, and change nothing.'),
  ...storeShape,
});
const copySettings = z.object({
  from: storePlace.describe(`What is copied: ${PLACE}. No collector may use it meanwhile.`),
  to: storePlace.describe(`Where the copy is made: ${PLACE}. It must be empty.`),
  json,
});
const checkSettings = z.object({
  data_dir: storeShape.data_dir,
  store: storePlace
    .optional()
    .describe(`What is checked: ${PLACE}. Collectors may use it. Default: the embedded store in data_dir.`),
  against: storePlace
    .optional()
    .describe(`Another store that should have the same: ${PLACE}. No collector may use either of them.`),
  json,
});

const SUMMARIES = {
  migrate: 'Brings the schema of the store to the version of this release, ahead of its collectors.',
  copy: 'Copies findings and admin data of stopped collectors to another place, and proves that both have the same.',
  check:
    'Checks that the sums in the store equal what they are sums of, and with --against that two stores have the same. Changes nothing.',
};

export async function run(argv: string[]): Promise<number> {
  const { verb, load } = readSubcommand({ command: 'store', summaries: SUMMARIES, usage: usage(), argv });
  switch (verb) {
    case 'migrate':
      return migrate(load(migrateSettings).settings);
    case 'copy':
      return copy(load(copySettings).settings);
    case 'check':
      return check(load(checkSettings).settings);
  }
}

async function migrate(settings: z.infer<typeof migrateSettings>): Promise<number> {
  const changes = settings.plan ? await plannedChanges(settings) : await changeSchemas(settings);
  for (const change of changes) process.stdout.write(`${visibleText(changeLine(change))}\n`);
  if (settings.plan && changes.some(({ from, to }) => from < to)) {
    process.stderr.write('Nothing was changed. "imdswatch store migrate" does it.\n');
  }
  return 0;
}

/** `findings: version 1 to 2 (adds hops). Release 0.1.0 or later can use it then.` */
function changeLine({ schema, from, to, steps, oldestRelease }: SchemaChange): string {
  if (from === to) return `${schema}: version ${to}, up to date`;
  const what = steps.length === 0 ? '' : ` (${steps.join('; ')})`;
  return `${schema}: version ${from} to ${to}${what}. Release ${oldestRelease} or later can use it then.`;
}

async function copy({ from, to, json: asJson }: z.infer<typeof copySettings>): Promise<number> {
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  const progress = new CopyProgressLine(process.stderr);
  const beganMs = performance.now();
  const compared = await copyStore(placeOf(from), placeOf(to), {
    onReport: (report) => progress.show(report),
    signal: stop.signal,
  }).finally(() => progress.end());
  if (compared === null) {
    process.stderr.write(
      'An earlier run had proven this copy, and ended before it was in place. It is in place now.\n',
    );
    return 0;
  }
  process.stdout.write(asJson ? `${visibleJson(compared, 2)}\n` : comparisonTable(compared));
  const seconds = ((performance.now() - beganMs) / 1000).toFixed(0);
  process.stderr.write(
    `Copied in ${seconds} s. All ${compared.length} tables are equal in both stores, and collectors can use the copy now. Start no collector on the source any more.\n`,
  );
  return 0;
}

/** Returns 1 where something differs. */
async function check(settings: z.infer<typeof checkSettings>): Promise<number> {
  const place = placeOf(settings.store ?? settings.data_dir);
  const against = settings.against === undefined ? null : placeOf(settings.against);
  if (against !== null && isDeepStrictEqual(place, against)) {
    throw new OperatorError(2, 'Both stores are the same place. Name another one with --against.');
  }
  const result = await checkStore(place, { against });
  process.stdout.write(settings.json ? `${visibleJson(result, 2)}\n` : storeCheckText(result));
  return isEqual(result) ? 0 : 1;
}

function usage(): string {
  const rows = Object.entries(SUMMARIES).map(([verb, summary]) => `  ${verb.padEnd(8)} ${summary}`);
  return `Works on the store of a collector. Run it on a machine that reaches the store, as the collector's user.

Usage: imdswatch store SUBCOMMAND [options]

${rows.join('\n')}

"imdswatch store SUBCOMMAND --help" lists the options.
`;
}
