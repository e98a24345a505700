/** `imdswatch store` works on the place where a collector keeps its data: the embedded store, or PostgreSQL. */
import * as z from 'zod';
import { changeSchemas, plannedChanges, type SchemaChange } from '../../collector/local.ts';
import { storeShape } from '../settings/local_collector.ts';
import { readSubcommand } from '../settings/subcommand.ts';
import { visibleText } from '../terminal/visible_text.ts';

const migrateSettings = z.object({
  plan: z.boolean().default(false).describe('Print what would be changed, and change nothing.'),
  ...storeShape,
});

const SUMMARIES = {
  migrate: 'Brings the schema of the store to the version of this release, ahead of its collectors.',
};

export async function run(argv: string[]): Promise<number> {
  const { load } = readSubcommand({ command: 'store', summaries: SUMMARIES, usage: usage(), argv });
  return migrate(load(migrateSettings).settings);
}

async function migrate(settings: z.infer<typeof migrateSettings>): Promise<number> {
  const changes = settings.plan ? await plannedChanges(settings) : await changeSchemas(settings);
  for (const change of changes) process.stdout.write(`${visibleText(changeLine(change))}\n`);
  if (settings.plan && changes.some(({ from, to }) => from < to)) {
    process.stderr.write('Nothing was changed. "imdswatch store migrate" does it.\n');
  }
  return 0;
}

/** `findings: version 1 to 2 (adds hops). May be used by release 0.1.0 or later.` */
function changeLine({ schema, from, to, steps, oldestRelease }: SchemaChange): string {
  if (from === to) return `${schema}: version ${to}, up to date`;
  const what = steps.length === 0 ? '' : ` (${steps.join('; ')})`;
  return `${schema}: version ${from} to ${to}${what}. Release ${oldestRelease} or later can use it then.`;
}

function usage(): string {
  const rows = Object.entries(SUMMARIES).map(([verb, summary]) => `  ${verb.padEnd(8)} ${summary}`);
  return `Works on the store of a collector. Run it on a machine that reaches the store.

Usage: imdswatch store SUBCOMMAND [options]

${rows.join('\n')}

"imdswatch store SUBCOMMAND --help" lists the options.
`;
}
