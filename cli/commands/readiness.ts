/**
 * `imdswatch readiness` says which hosts and groups are proven safe for `HttpTokens=required`, from the store
 * on this machine or from a collector elsewhere.
 */
import * as z from 'zod';
import type { Group, GroupDetail } from '../../collector/contract/group.ts';
import type { Host, Readiness } from '../../collector/contract/host.ts';
import type { ReportFindings } from '../../collector/local.ts';
import { parseGroupAttribute } from '../../common/group_id.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { localReport } from '../local_report.ts';
import { groupOf, groupsOf, readinessOf } from '../remote_questions.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, COLLECTOR_FILE, judgingOptions } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { groupsTable, groupText } from '../terminal/groups_table.ts';
import { readinessTable } from '../terminal/readiness_table.ts';
import { visibleJson } from '../terminal/visible_text.ts';

const readinessSettings = z.object({
  ...anyCollectorShape,
  host: z.string().min(1).optional().describe('Show only the host with this id or name.'),
  group_by: z
    .string()
    .optional()
    .describe(
      'List groups instead of hosts, by asg, template, image, eks-nodegroup, tag:KEY, account, region, zone or type. A group includes instances that are gone.',
    ),
  group: z
    .string()
    .min(1)
    .optional()
    .describe('Show one group with all that is missing, for example asg:web or tag:team=shop.'),
  json: z.boolean().default(false).describe('Print JSON instead of a table.'),
});

/**
 * Returns 0 whatever the verdicts are. Throws `OperatorError` when there is no store, no such host or no such
 * group.
 */
export async function run(argv: string[]): Promise<number> {
  const { settings, given } = loadSettings(readinessSettings, {
    command: 'readiness',
    summary: 'Shows which hosts are proven safe for HttpTokens=required, and why the others are not.',
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
  });
  if (settings.group_by !== undefined && parseGroupAttribute(settings.group_by) === null) {
    throw new OperatorError(
      2,
      `--group-by is "${settings.group_by}": use asg, template, image, eks-nodegroup, tag:KEY, account, region, zone or type.`,
    );
  }
  const chosen = [settings.host, settings.group_by, settings.group].filter((value) => value !== undefined);
  if (chosen.length > 1) {
    throw new OperatorError(
      2,
      'Give only one of --host, --group-by and --group. A part of a group proves nothing about it.',
    );
  }
  const answer = await withAnswers(settings, given, (answers) => answerOf(settings, answers));
  process.stdout.write(
    settings.json ? `${visibleJson(answer.json, 2)}\n` : answer.table(process.stdout.columns ?? 100),
  );
  return 0;
}

/** An answer as JSON, and as a table or text of so many columns. */
interface Answer {
  json: unknown;
  table: (columns: number) => string;
}

async function answerOf(settings: z.infer<typeof readinessSettings>, answers: Answers): Promise<Answer> {
  if (settings.group !== undefined) {
    const group = await answers.group(settings.group);
    if (group === null) {
      throw new OperatorError(
        1,
        `No instance belonged to the group "${settings.group}" in the window. "imdswatch readiness --group-by asg" lists groups; a tag is written tag:KEY=VALUE.`,
      );
    }
    return { json: group, table: (columns) => groupText(group, columns) };
  }
  if (settings.group_by !== undefined) {
    const by = settings.group_by;
    const groups = await answers.groups(by);
    return { json: groups, table: (columns) => groupsTable(groups, by, columns) };
  }
  const hosts = await answers.hosts(settings.host);
  if (hosts.length === 0 && settings.host !== undefined) {
    throw new OperatorError(
      1,
      `No host "${settings.host}" has reported to this collector. Run the command without --host to list all hosts.`,
    );
  }
  return {
    json: hosts.map(({ host, readiness }) => ({ ...host, readiness })),
    table: (columns) => readinessTable(hosts, columns),
  };
}

interface Answers {
  /** All hosts, or the one with this id or name; empty if there is none. */
  hosts(idOrName: string | undefined): Promise<{ host: Host; readiness: Readiness }[]>;
  groups(by: string): Promise<Group[]>;
  group(id: string): Promise<GroupDetail | null>;
}

/** Asks the API of the collector that `--collector` names, or its store on this machine. */
async function withAnswers<T>(
  settings: z.infer<typeof readinessSettings>,
  given: ReadonlySet<string>,
  work: (answers: Answers) => Promise<T>,
): Promise<T> {
  const client = collectorClientOf(settings, given);
  if (client === null) {
    return localReport(settings, judgingOptions(settings), ({ insight }) =>
      work(localAnswers(insight, settings.readiness_window_days)),
    );
  }
  try {
    return await work({
      hosts: (idOrName) => readinessOf(client, idOrName),
      groups: (by) => groupsOf(client, by),
      group: (id) => groupOf(client, id),
    });
  } finally {
    client.close();
  }
}

function localAnswers(insight: ReportFindings['insight'], windowDays: number): Answers {
  const nowUs = Date.now() * 1000;
  const question = { window: { sinceUs: nowUs - windowDays * 86_400_000_000, untilUs: nowUs } };
  return {
    hosts: async (idOrName) => {
      const filter = idOrName === undefined ? {} : { named: idOrName };
      const found: { host: Host; readiness: Readiness }[] = [];
      for await (const hosts of insight.allReadiness(question, filter)) found.push(...hosts);
      return found;
    },
    groups: (by) => insight.groups(parseGroupAttribute(by)!, question),
    group: (id) => insight.group(id, question),
  };
}
