/**
 * `imdswatch readiness` says which hosts and groups are proven safe for `HttpTokens=required`, from the store
 * on this machine.
 */
import * as z from 'zod';
import { type HostFilter, openForReading, parseGroupAttribute } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { COLLECTOR_FILE, judgingOptions, judgingShape } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { groupsTable, groupText } from '../terminal/groups_table.ts';
import { readinessTable } from '../terminal/readiness_table.ts';
import { visibleJson } from '../terminal/visible_text.ts';

const readinessSettings = z.object({
  ...judgingShape,
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
  const { settings } = loadSettings(readinessSettings, {
    command: 'readiness',
    summary: 'Shows which hosts are proven safe for HttpTokens=required, and why the others are not.',
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
  });
  const groupBy = settings.group_by === undefined ? null : parseGroupAttribute(settings.group_by);
  if (settings.group_by !== undefined && groupBy === null) {
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
  const { store, insight, close } = openForReading(settings.data_dir, judgingOptions(settings));
  try {
    const filter = await filterFor(settings.host);
    const nowUs = Date.now() * 1000;
    const question = {
      window: { sinceUs: nowUs - settings.readiness_window_days * 86_400_000_000, untilUs: nowUs },
    };
    const columns = process.stdout.columns ?? 100;
    if (settings.group !== undefined) {
      const group = await insight.group(settings.group, question);
      if (group === null) {
        throw new OperatorError(
          1,
          `No instance belonged to the group "${settings.group}" in the window. "imdswatch readiness --group-by asg" lists groups; a tag is written tag:KEY=VALUE.`,
        );
      }
      print(group, () => groupText(group, columns));
    } else if (groupBy !== null) {
      const groups = await insight.groups(groupBy, question);
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

  async function filterFor(idOrName: string | undefined): Promise<HostFilter> {
    if (idOrName === undefined) return {};
    const ids = (await store.hosts())
      .filter(({ facts }) => facts.id === idOrName || facts.name === idOrName)
      .map(({ facts }) => facts.id);
    if (ids.length === 0) {
      throw new OperatorError(
        1,
        `No host "${idOrName}" has reported to this collector. Run the command without --host to list all hosts.`,
      );
    }
    return { ids };
  }

  function print(answer: unknown, table: () => string): void {
    process.stdout.write(settings.json ? `${visibleJson(answer, 2)}\n` : table());
  }
}
