/**
 * `imdswatch alert` manages and tests alert destinations. It works on the collector's files, also while it
 * runs.
 */
import * as z from 'zod';
import type { Destination } from '../../collector/contract/destination.ts';
import { shapeName, streamName } from '../../collector/contract/export.ts';
import {
  type Destinations,
  type LocalAdmin,
  type StorePlace,
  servedPresets,
  withAdmin,
} from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { DESTINATION_EXAMPLES, presetFile, readDestination } from '../alert_destination.ts';
import { readGivenFile } from '../given_file.ts';
import { createLogger } from '../log.ts';
import { storeShape } from '../settings/local_collector.ts';
import { readSubcommand } from '../settings/subcommand.ts';
import { destinationTable, unroutedText } from '../terminal/alert_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const json = z.boolean().default(false).describe('Print JSON.');

const listSettings = z.object({ ...storeShape, json });
const testSettings = z.object({ ...storeShape, json });
const addSettings = z.object({
  preset: z
    .string()
    .min(1)
    .optional()
    .describe('Receiver to send to, such as pagerduty. "imdswatch alert presets" lists them.'),
  name: z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe('Name of the destination. Default: that of the preset.'),
  stream: streamName
    .optional()
    .describe(
      'Stream to send: alerts, or every record of findings, calls or the audit log. Default: alerts.',
    ),
  shape: shapeName
    .optional()
    .describe('Shape of the records: native, otlp, ocsf, ecs or asff. Default: that of the preset.'),
  owner: z
    .array(z.string().min(1).max(100))
    .default([])
    .describe(
      'Owners whose alerts it gets, separated by commas; a * stands for any text. Default: alerts about everything.',
    ),
  unowned: z
    .boolean()
    .default(false)
    .describe('It gets alerts about what has no owner, beside those of --owner, or these alone.'),
  set: z.array(z.string()).default([]).describe('Values of the preset that are no secrets, as KEY=VALUE.'),
  from_file: z
    .string()
    .min(1)
    .optional()
    .describe(
      'YAML file that describes the destination or has the values of the preset, or - for stdin. "imdswatch alert --help" shows examples.',
    ),
  ...storeShape,
  json,
});
const removeSettings = z.object({ ...storeShape });
const presetsSettings = z.object({ json });

const SUMMARIES = {
  list: 'Lists the destinations, what waits for each and what was lost, without their secrets.',
  test: 'Sends a test record to one or all destinations, and reports whether it arrived.',
  add: 'Adds a destination.',
  remove: 'Removes a destination and the alerts that wait for it.',
  presets: 'Lists the receivers that there are presets for, or prints the file of one to fill in.',
};

export async function run(argv: string[]): Promise<number> {
  const { verb, load } = readSubcommand({ command: 'alert', summaries: SUMMARIES, usage: usage(), argv });
  switch (verb) {
    case 'list':
      return list(load(listSettings).settings);
    case 'test': {
      const { settings, positionals } = load(testSettings, ['[NAME]']);
      return test(positionals[0], settings);
    }
    case 'add':
      return add(load(addSettings).settings);
    case 'presets': {
      const { settings, positionals } = load(presetsSettings, ['[NAME]']);
      return presets(positionals[0], settings);
    }
    case 'remove': {
      const { settings, positionals } = load(removeSettings, ['NAME']);
      return remove(positionals[0]!, settings);
    }
  }
}

async function list(settings: z.infer<typeof listSettings>): Promise<number> {
  const { listed, unrouted } = await withDestinations(settings, async ({ destinations }) => ({
    listed: await destinations.list(),
    unrouted: await destinations.unrouted(),
  }));
  process.stdout.write(settings.json ? `${visibleJson(listed, 2)}\n` : destinationTable(listed));
  // JSON is the list alone, so that the note must not be a part of it.
  (settings.json ? process.stderr : process.stdout).write(unroutedText(unrouted));
  return 0;
}

async function test(name: string | undefined, settings: z.infer<typeof testSettings>): Promise<number> {
  const results = await withDestinations(settings, async ({ destinations, audit }) => {
    const chosen = name === undefined ? await destinations.list() : [await named(destinations, name)];
    if (chosen.length === 0)
      throw new OperatorError(1, 'There are no alert destinations. Add one: "imdswatch alert add".');
    return Promise.all(
      chosen.map(async (destination) => {
        const result = await destinations.sendTest(destination.id, null);
        await audit('alert_destination.test', destination.id, result.ok ? 'arrived' : 'failed');
        const { id, name, target } = destination;
        return { id, name, target, ok: result.ok, error: result.ok ? undefined : result.error };
      }),
    );
  });
  if (settings.json) {
    process.stdout.write(`${visibleJson(results, 2)}\n`);
  } else {
    for (const result of results) {
      const outcome = result.error === undefined ? 'arrived' : `did not arrive: ${result.error}`;
      process.stdout.write(visibleText(`${result.name} (${result.target}): ${outcome}`).concat('\n'));
    }
  }
  return results.every(({ ok }) => ok) ? 0 : 1;
}

async function add(settings: z.infer<typeof addSettings>): Promise<number> {
  const { from_file: file, ...flags } = settings;
  if (file === undefined && flags.preset === undefined) {
    throw new OperatorError(
      2,
      'Name a preset by --preset, or a file that describes the destination by --from-file.',
    );
  }
  const text = file === undefined ? null : readGivenFile(file);
  const newDestination = readDestination(text, file ?? '--preset', await servedPresets(), flags);
  const added = await withDestinations(settings, async ({ destinations, audit }) => {
    const destination = await destinations.add(newDestination);
    const { id, name, target, rules, stream } = destination;
    const what = destination.preset ?? destination.kind;
    const sent = stream === 'alerts' ? rules.join(', ') : `stream ${stream}`;
    await audit('alert_destination.add', id, `"${name}": ${what} to ${target}, ${sent}`);
    return destination;
  });
  if (settings.json) process.stdout.write(`${visibleJson(added, 2)}\n`);
  else
    process.stdout.write(
      visibleText(
        `Added the alert destination ${added.name} (${added.target}). Test it: imdswatch alert test`,
      ).concat('\n'),
    );
  return 0;
}

async function presets(name: string | undefined, settings: z.infer<typeof presetsSettings>): Promise<number> {
  const found = (await servedPresets()).filter((each) => name === undefined || each.name === name);
  if (found.length === 0) {
    throw new OperatorError(
      1,
      `There is no preset ${JSON.stringify(name)}. "imdswatch alert presets" lists them.`,
    );
  }
  if (settings.json) process.stdout.write(`${visibleJson(found, 2)}\n`);
  else if (name !== undefined) process.stdout.write(presetFile(found[0]!));
  else {
    for (const { name: each, title, description } of found) {
      process.stdout.write(`${each.padEnd(14)}${title}: ${description}\n`);
    }
  }
  return 0;
}

async function remove(name: string, settings: z.infer<typeof removeSettings>): Promise<number> {
  const removed = await withDestinations(settings, async ({ destinations, audit }) => {
    const destination = await named(destinations, name);
    await destinations.remove(destination.id);
    await audit(
      'alert_destination.remove',
      destination.id,
      `"${destination.name}": ${destination.preset ?? destination.kind} to ${destination.target}`,
    );
    return destination;
  });
  process.stdout.write(
    visibleText(`Removed the alert destination ${removed.name} (${removed.target}).`).concat('\n'),
  );
  return 0;
}

async function named(destinations: Destinations, idOrName: string): Promise<Destination> {
  const found = await destinations.find(idOrName);
  if (found !== null) return found;
  throw new OperatorError(
    1,
    `There is no alert destination ${JSON.stringify(idOrName)}. "imdswatch alert list" shows the existing ones.`,
  );
}

/**
 * Runs `work` on the stored destinations. A running collector reads them again before each alert that it
 * sends.
 */
function withDestinations<T>(place: StorePlace, work: (admin: LocalAdmin) => Promise<T>): Promise<T> {
  return withAdmin(place, createLogger('warn', 'alert'), work);
}

function usage(): string {
  const forms = {
    list: 'list',
    test: 'test [NAME]',
    add: 'add [--preset NAME] [--stream STREAM]',
    remove: 'remove NAME',
    presets: 'presets [NAME]',
  };
  const rows = Object.entries(SUMMARIES).map(
    ([verb, summary]) => `  imdswatch alert ${forms[verb as keyof typeof forms].padEnd(38)}  ${summary}`,
  );
  return `Alerts report new IMDSv1 callers, role credentials sent over IMDSv1, hosts that are no longer ready, hosts that
are silent, and lost coverage. A destination can also get every record of the stream findings, calls or audit. NAME may also be a destination's id. A running collector applies changes at once.

${rows.join('\n')}

"imdswatch alert SUBCOMMAND --help" lists the options. A destination's file looks like one of these:

${DESTINATION_EXAMPLES}
Alerts are never sent to link-local addresses, because the metadata service has one. Redirects are not followed.
TLS certificates are verified. To add a private certificate authority, set NODE_EXTRA_CA_CERTS to its PEM file.
`;
}
