/**
 * `imdswatch owners` manages the rules that name the owners of workloads, and says which rule names the owner of one: in the
 * files of a collector on this machine, which may be running, or by the API of one elsewhere.
 */
import * as z from 'zod';
import {
  type OwnerExplanation,
  type OwnerRules,
  ownerExplanation,
  ownerRules,
  ownerRulesChange,
} from '../../collector/contract/owner.ts';
import { openForReading, readOwnerRules, withAdmin } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { requireAdmin } from '../collector_client/require_admin.ts';
import { readGivenFile } from '../given_file.ts';
import { createLogger } from '../log.ts';
import { namedOffender } from '../named_offender.ts';
import { offendersOf } from '../remote_questions.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, judgingOptions } from '../settings/local_collector.ts';
import { readSubcommand } from '../settings/subcommand.ts';
import { explanationText, ownerRulesTable } from '../terminal/owners_table.ts';
import { visibleJson } from '../terminal/visible_text.ts';

const json = z.boolean().default(false).describe('Print JSON.');
const commonSettings = z.object({ ...anyCollectorShape, json });
const addSettings = z.object({
  first: z
    .boolean()
    .default(false)
    .describe('Put the rule before all others. Default: behind those that admins have set.'),
  ...anyCollectorShape,
  json,
});
const setSettings = z.object({
  from_file: z
    .string()
    .min(1)
    .describe('File with one rule on each line, or - for stdin. Empty lines and lines with # are left out.'),
  ...anyCollectorShape,
  json,
});
type Settings = z.infer<typeof commonSettings>;

const SUMMARIES = {
  list: 'Lists the rules in the order in which they are asked.',
  add: 'Adds a rule.',
  remove: 'Removes a rule, named by its text or by its number in the list.',
  set: 'Replaces all rules that were set by this command, by the API or on the page.',
  test: 'Says who owns an offender, named by its id or its whole name in the list, and which rule says so.',
};

export async function run(argv: string[]): Promise<number> {
  const { verb, load } = readSubcommand({ command: 'owners', summaries: SUMMARIES, usage: usage(), argv });
  switch (verb) {
    case 'list': {
      const { settings, given } = load(commonSettings);
      print(await readRules(settings, given), settings);
      return 0;
    }
    case 'add': {
      const { settings, given, positionals } = load(addSettings, ['RULE']);
      const rule = positionals[0]!;
      return change(settings, given, ({ rules }) => {
        if (rules.includes(rule)) throw new OperatorError(2, `There is a rule ${rule} already.`);
        return settings.first ? [rule, ...rules] : [...rules, rule];
      });
    }
    case 'remove': {
      const { settings, given, positionals } = load(commonSettings, ['RULE']);
      return change(settings, given, ({ rules, setting_rules }) => {
        const at = placeOf(positionals[0]!, rules, setting_rules);
        return rules.filter((_, index) => index !== at);
      });
    }
    case 'set': {
      const { settings, given } = load(setSettings);
      const rules = readLines(settings.from_file);
      return change(settings, given, () => rules);
    }
    case 'test': {
      const { settings, given, positionals } = load(commonSettings, ['OFFENDER']);
      const explained = await explain(positionals[0]!, settings, given);
      process.stdout.write(settings.json ? `${visibleJson(explained, 2)}\n` : explanationText(explained));
      return 0;
    }
  }
}

async function readRules(settings: Settings, given: ReadonlySet<string>): Promise<OwnerRules> {
  const client = collectorClientOf(settings, given);
  if (client === null) return readOwnerRules(settings, judgingOptions(settings));
  try {
    await requireAdmin(client, 'to read the owner rules');
    return await client.get('/owner-rules', ownerRules);
  } finally {
    client.close();
  }
}

/** Changes the rules by `next`, unless somebody else does meanwhile, and prints them. */
async function change(
  settings: Settings,
  given: ReadonlySet<string>,
  next: (rules: OwnerRules) => string[],
): Promise<number> {
  const before = await readRules(settings, given);
  const wanted = { version: before.version, rules: next(before) };
  const parsed = ownerRulesChange.safeParse(wanted);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => {
      const rule = path[0] === 'rules' && typeof path[1] === 'number' ? wanted.rules[path[1]] : undefined;
      return rule === undefined ? message : `"${rule}": ${message}`;
    });
    throw new OperatorError(2, `The rules are not valid: ${problems.join('; ')}.`);
  }
  const client = collectorClientOf(settings, given);
  if (client === null) {
    await withAdmin(settings, createLogger('warn', 'owners'), ({ changeOwnerRules }) =>
      changeOwnerRules(parsed.data),
    );
  } else {
    await client.change('PUT', '/owner-rules', parsed.data, ownerRules).finally(() => client.close());
  }
  print(await readRules(settings, given), settings);
  return 0;
}

async function explain(
  wanted: string,
  settings: Settings,
  given: ReadonlySet<string>,
): Promise<OwnerExplanation> {
  const client = collectorClientOf(settings, given);
  if (client === null) {
    const { insight, close } = await openForReading(settings, judgingOptions(settings));
    try {
      const window = { sinceUs: 0, untilUs: Date.now() * 1000 };
      const { id } = namedOffender(wanted, await insight.offenders({ window }));
      return (await insight.explainOwner(id))!;
    } finally {
      await close();
    }
  }
  try {
    await requireAdmin(client, 'to test the owner rules');
    const { id } = namedOffender(wanted, await offendersOf(client, { since: 'all', withHarmless: true }));
    return await client.get(`/owner-rules/explanations/${id}`, ownerExplanation);
  } finally {
    client.close();
  }
}

function print(rules: OwnerRules, { json }: { json: boolean }): void {
  process.stdout.write(json ? `${visibleJson(rules, 2)}\n` : ownerRulesTable(rules));
}

/** Returns the place of a rule among those that can be removed. Throws `OperatorError`. */
function placeOf(wanted: string, rules: readonly string[], ofSetting: readonly string[]): number {
  const at = /^\d+$/.test(wanted) ? Number(wanted) - 1 : rules.indexOf(wanted);
  if (at >= 0 && at < rules.length) return at;
  const inSetting = ofSetting.includes(wanted) || ofSetting[at - rules.length] !== undefined;
  throw new OperatorError(
    inSetting ? 2 : 1,
    inSetting
      ? `The rule ${wanted} comes from the setting owner_rules. Remove it from the collector's configuration file.`
      : `There is no rule ${wanted}. "imdswatch owners list" shows the rules with their numbers.`,
  );
}

function readLines(file: string): string[] {
  return readGivenFile(file)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

function usage(): string {
  const forms = {
    list: 'list',
    add: 'add RULE [--first]',
    remove: 'remove RULE',
    set: 'set --from-file FILE',
    test: 'test OFFENDER',
  };
  const rows = Object.entries(SUMMARIES).map(
    ([verb, summary]) => `  imdswatch owners ${forms[verb as keyof typeof forms].padEnd(22)}  ${summary}`,
  );
  return `Owner rules name the team or person that is responsible for a workload. The first rule that matches counts; an owner that
somebody sets by "imdswatch triage" or on the page goes before all rules. Collectors apply changes within some seconds.

${rows.join('\n')}

A rule is one of these, where a * stands for any text:
  namespace:PATTERN=OWNER   the Kubernetes namespace
  unit:PATTERN=OWNER        the systemd unit
  image:PATTERN=OWNER       the container image, without a tag
  path:PATTERN=OWNER        the script or the executable
  account:PATTERN=OWNER     the account of the hosts, of which all must match
  tag:KEY                   the value of this tag, which all hosts must share, is the owner
  tag:KEY=OWNER             all hosts have this tag
  tag:KEY:PATTERN=OWNER     all hosts have this tag with such a value

"imdswatch owners SUBCOMMAND --help" lists the options.
`;
}
