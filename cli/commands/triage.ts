/**
 * `imdswatch triage` sets the state, the owner, the ticket and the notes of an offender, in the files of a
 * collector on this machine, which may be running, or by the API of one elsewhere.
 */
import * as z from 'zod';
import {
  type Triage,
  type TriageChange,
  triageChange,
  triageState,
} from '../../collector/contract/triage.ts';
import { openForReading, withAdmin } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { CollectorClient } from '../collector_client/collector_client.ts';
import { requireAdmin } from '../collector_client/require_admin.ts';
import { createLogger } from '../log.ts';
import { namedOffender } from '../named_offender.ts';
import { changeTriage, offendersOf } from '../remote_questions.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { anyCollectorShape, COLLECTOR_FILE, judgingOptions } from '../settings/local_collector.ts';
import { loadSettings } from '../settings/settings.ts';
import { triageTexts } from '../terminal/triage_text.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';

const text = z.string();
const triageSettings = z.object({
  ...anyCollectorShape,
  state: triageState
    .optional()
    .describe(
      'open: nobody works on it. in_progress: somebody does. exception: it may go on until a date. fixed: it ends by itself when the workload calls IMDSv1 again. No state changes a verdict.',
    ),
  until: text.optional().describe('End of an exception: a day such as 2027-03-31 (UTC), or a time.'),
  reason: text.optional().describe('Why there is an exception.'),
  owner: text
    .optional()
    .describe('Who is to fix it. An empty text removes the owner, and so for the next two.'),
  ticket: text.optional().describe('Address of a ticket.'),
  notes: text.optional().describe('Notes.'),
  json: z.boolean().default(false).describe('Print the triage as JSON.'),
});

/** Throws `OperatorError`: 2 where the change is not valid, 1 where there is no such workload. */
export async function run(argv: string[]): Promise<number> {
  const { settings, positionals, given } = loadSettings(triageSettings, {
    command: 'triage',
    summary: 'Sets what is decided about an offender, named by its id or its whole name in the list.',
    argv,
    env: process.env,
    shared: COLLECTOR_FILE,
    positionals: ['OFFENDER'],
  });
  const { state, until, reason, owner, ticket, notes } = settings;
  const parsed = triageChange.safeParse({
    state,
    until: until === undefined ? undefined : momentOf(until),
    reason,
    owner: owner === '' ? null : owner,
    ticket: ticket === '' ? null : ticket,
    notes: notes === '' ? null : notes,
  });
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) =>
      path.length === 0 ? message : `--${path.join('.')}: ${message}`,
    );
    throw new OperatorError(2, `The change is not valid: ${problems.join('; ')}.`);
  }
  const client = collectorClientOf(settings, given);
  const { title, changed } =
    client === null
      ? await changeHere(positionals[0]!, parsed.data, settings)
      : await changeThere(positionals[0]!, parsed.data, client).finally(() => client.close());
  if (settings.json) process.stdout.write(`${visibleJson(changed, 2)}\n`);
  else {
    const texts = triageTexts(changed);
    process.stdout.write(
      `${visibleText(title)}: ${texts.length === 0 ? changed.state : texts.join(' · ')}\n`,
    );
  }
  return 0;
}

interface Changed {
  title: string;
  changed: Triage;
}

async function changeHere(
  wanted: string,
  change: TriageChange,
  settings: z.infer<typeof triageSettings>,
): Promise<Changed> {
  const { insight, close } = await openForReading(settings, judgingOptions(settings));
  try {
    const window = { sinceUs: 0, untilUs: Date.now() * 1000 };
    const { id, title } = namedOffender(wanted, await insight.offenders({ window }));
    const joined = (await insight.triageRecords(id)).filter((record) => record !== id);
    await withAdmin(settings, createLogger('warn', 'triage'), ({ triage, actor }) =>
      triage.change({ workload: id, title, joined }, change, actor, Date.now()),
    );
    return { title, changed: (await insight.offender(id, { window }))!.triage };
  } finally {
    await close();
  }
}

async function changeThere(wanted: string, change: TriageChange, client: CollectorClient): Promise<Changed> {
  await requireAdmin(client, 'to change the triage');
  const { id, title } = namedOffender(
    wanted,
    await offendersOf(client, { since: 'all', withHarmless: true }),
  );
  return { title, changed: await changeTriage(client, id, change) };
}

/** A day stands for its end in UTC. */
function momentOf(until: string): string {
  return /^\d{4}-\d\d-\d\d$/.test(until) ? `${until}T23:59:59Z` : until;
}
