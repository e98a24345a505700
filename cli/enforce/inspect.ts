/** Subcommands of `imdswatch enforce` that change nothing, but for the self-test with `--yes`. */
import { setTimeout as delay } from 'node:timers/promises';
import * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { type Drift, driftByCalls, driftOf } from '../../enforce/drift.ts';
import { EXPORT_FORMATS, exportPlan } from '../../enforce/export/export.ts';
import type { HostFinding } from '../../enforce/findings.ts';
import { accountId, instanceId, type Plan, region } from '../../enforce/plan.ts';
import { closesWayBack, PREVENTIONS, type Prevention, prevent } from '../../enforce/prevent/prevent.ts';
import { nextStepText, type QuietPlace, quietPlaces, quietText } from '../../enforce/prevent/quiet.ts';
import type { PlanStore } from '../../enforce/run/plan_store.ts';
import { selftest } from '../../enforce/selftest.ts';
import { credentialsOf, credentialsShape } from '../settings/cloud_credentials.ts';
import { collectorClientOf } from '../settings/collector_access.ts';
import { collectorAccessShape } from '../settings/collector_access_shape.ts';
import { anyCollectorShape, storeShape } from '../settings/local_collector.ts';
import { untilSignal, withoutTerminal } from '../signals.ts';
import { findingsText, planText, statusText, unreportedText } from '../terminal/plan_table.ts';
import { visibleJson, visibleText } from '../terminal/visible_text.ts';
import { cloudsWith, judgeOf, reportNow, runnerOf } from './carry_out.ts';
import { remoteReports } from './remote_reports.ts';
import { EXIT_DRIFT, EXIT_REFUSED, exitCodeOf, type Loaded, storeIn, withFindings } from './shared.ts';

const json = z.boolean().default(false).describe('Print JSON.');
export const localSettings = z.object({ json, ...storeShape });
export const cloudSettings = z.object({ json, ...credentialsShape, ...anyCollectorShape });
export const statusSettings = z.object({ json, ...storeShape, ...collectorAccessShape });
export const driftSettings = z.object({
  cloud: z
    .boolean()
    .default(true)
    .describe('Read the targets in the cloud. With --no-cloud only the calls that agents saw are looked at.'),
  ...cloudSettings.shape,
});
export const exportSettings = z.object({
  as: z.enum(EXPORT_FORMATS).describe('Form of the plan: shell commands, or fragments for another tool.'),
  ...storeShape,
});
export const preventSettings = z.object({
  hop_limit: z
    .int()
    .min(1)
    .max(64)
    .default(2)
    .describe('Largest hop limit to allow. Containers need 2 or more.'),
  admin_role: z
    .string()
    .min(1)
    .default('arn:aws:iam::*:role/imds-admin')
    .describe("ARN pattern of the role that may still change the account's defaults."),
  ...anyCollectorShape,
});
export const selftestSettings = z.object({
  instance_id: instanceId.describe('An instance that nobody needs. Its values are given back.'),
  account: accountId.describe('Account of the instance.'),
  region: region.describe('Region of the instance.'),
  yes: z
    .boolean()
    .default(false)
    .describe('Also change the instance. Without it only reads and dry runs are made.'),
  ...credentialsShape,
});

export function show(id: string | undefined, settings: z.infer<typeof localSettings>): number {
  const store = storeIn(settings.data_dir);
  if (id !== undefined) {
    const shown = store.load(id);
    process.stdout.write(settings.json ? `${visibleJson(shown, 2)}\n` : planText(shown));
    return 0;
  }
  const plans = store.ids().map((each) => {
    const { created, steps } = store.load(each);
    return { id: each, created, steps: steps.length, phase: store.stateOf(store.load(each)).state.phase };
  });
  const lines = plans.map(
    ({ id: each, created, steps, phase }) => `${each}  ${created}  ${steps} steps  ${phase}\n`,
  );
  process.stdout.write(
    settings.json ? `${visibleJson(plans, 2)}\n` : lines.join('') || 'There are no plans.\n',
  );
  return 0;
}

export async function check(id: string, loaded: Loaded<z.infer<typeof cloudSettings>>): Promise<number> {
  const { settings } = loaded;
  const store = storeIn(settings.data_dir);
  const checked = store.load(id);
  const { state } = store.stateOf(checked);
  return withFindings(loaded, 'viewer', async (findings) => {
    const cloudOf = await cloudsWith(credentialsOf(settings), id);
    const judge = judgeOf({ plan: checked, store, findings, cloudOf });
    const judged = [];
    for (const step of checked.steps) judged.push({ step, ...(await judge.judge(step, state)) });
    const answer = judged.map(({ step, result, findings: found }) => ({
      step: step.id,
      result,
      findings: found,
    }));
    process.stdout.write(
      settings.json
        ? `${visibleJson(answer, 2)}\n`
        : judged.map(({ step, findings: found }) => findingsText(step, found)).join('\n'),
    );
    return judged.some(({ result }) => result === 'refuse') ? EXIT_REFUSED : 0;
  });
}

/**
 * Shows what has become of a plan. With `--collector` it is sent to that collector first, as a whole: another one may have
 * been told, or its database may have been restored from a backup.
 */
export async function status(id: string, loaded: Loaded<z.infer<typeof statusSettings>>): Promise<number> {
  const { settings } = loaded;
  const store = storeIn(settings.data_dir);
  const shown = store.load(id);
  const runner = runnerOf(store, id);
  const client = collectorClientOf(settings, loaded.given);
  if (client !== null && runner === null) {
    await reportNow(shown, store, remoteReports(client));
    client.close();
  }
  const { state } = store.stateOf(shown);
  const reported = store.reportedOf(id);
  const lacks = lacking(store, shown);
  const next = nextStepText({ plan: shown, state }, Date.now());
  process.stdout.write(
    settings.json
      ? `${visibleJson({ plan: id, ...state, reported, unreported_events: lacks, next }, 2)}\n`
      : statusText(shown, state, runner) +
          unreportedText(id, { reported, lacks, isCarriedOut: runner !== null }) +
          (next === null ? '' : `\n${next}\n`),
  );
  return exitCodeOf(state);
}

/** Returns the number of events of a plan that no collector was told of. The plan itself counts as one. */
function lacking(store: PlanStore, of: Plan): number {
  return store.stateOf(of).events.length - (store.reportedOf(of.id)?.sequence ?? -1);
}

export async function drift(
  id: string | undefined,
  loaded: Loaded<z.infer<typeof driftSettings>>,
): Promise<number> {
  const { settings } = loaded;
  const store = storeIn(settings.data_dir);
  const found: Drift[] = [];
  await withFindings(loaded, 'viewer', async (findings) => {
    for (const each of id === undefined ? store.ids() : [id]) {
      const compared = store.load(each);
      const { state } = store.stateOf(compared);
      found.push(...(await driftByCalls(compared, state, findings)));
      if (!settings.cloud) continue;
      const cloudOf = await cloudsWith(credentialsOf(settings), each);
      found.push(...(await driftOf(compared, state, cloudOf)));
    }
    return 0;
  });
  const lines = found.map(
    ({ plan: of, step, text }) =>
      `${of} ${step.id} ${visibleText(`${JSON.stringify(step.target)}: ${text}`)}\n`,
  );
  process.stdout.write(
    settings.json ? `${visibleJson(found, 2)}\n` : lines.join('') || 'Everything is as it was confirmed.\n',
  );
  if (found.some(({ result }) => result !== 'unread')) return EXIT_DRIFT;
  return found.length > 0 ? 1 : 0;
}

/** Prints a policy, after the warning how long the accounts of the plans have been quiet. It changes nothing. */
export async function printPrevention(
  kind: string,
  loaded: Loaded<z.infer<typeof preventSettings>>,
): Promise<number> {
  const { settings } = loaded;
  if (!isPrevention(kind)) {
    throw new OperatorError(2, `There is no prevention "${kind}". Use one of: ${PREVENTIONS.join(', ')}.`);
  }
  const { warnings, text } = prevent(kind, { hopLimit: settings.hop_limit, adminRole: settings.admin_role });
  const quiet = closesWayBack(kind) ? quietText(await quietOf(loaded)) : [];
  for (const warning of [...quiet, ...warnings]) process.stderr.write(`! ${visibleText(warning)}\n`);
  process.stdout.write(text);
  return 0;
}

async function quietOf(loaded: Loaded<z.infer<typeof preventSettings>>): Promise<QuietPlace[]> {
  const store = storeIn(loaded.settings.data_dir);
  const plans = store.ids().map((id) => {
    const plan = store.load(id);
    return { plan, state: store.stateOf(plan).state };
  });
  if (plans.every(({ state }) => state.phase === 'new')) return [];
  let hosts: HostFinding[] | null = null;
  try {
    await withFindings(loaded, 'viewer', async (findings) => {
      hosts = await findings.hosts(null);
      return 0;
    });
  } catch (error) {
    // The policy is printed all the same, with the warning that nobody was asked.
    process.stderr.write(`! The collector cannot be asked: ${visibleText((error as Error).message)}\n`);
  }
  return quietPlaces(plans, hosts, Date.now());
}

export async function runSelftest(settings: z.infer<typeof selftestSettings>): Promise<number> {
  const { account, region: place, instance_id, yes } = settings;
  const cloudOf = await cloudsWith(credentialsOf(settings), 'selftest');
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  // The value of before is given back, whoever reads the transcript.
  withoutTerminal(() => stop.abort());
  const isGood = await selftest({
    signal: stop.signal,
    cloud: cloudOf({ account, region: place }),
    instanceId: instance_id,
    mayChange: yes,
    now: () => performance.now(),
    sleep: (ms) => delay(ms),
    print: (line) => process.stdout.write(line),
  });
  return isGood ? 0 : 1;
}

export function printExport(id: string, settings: z.infer<typeof exportSettings>): number {
  process.stdout.write(exportPlan(storeIn(settings.data_dir).load(id), settings.as));
  return 0;
}

function isPrevention(kind: string): kind is Prevention {
  return (PREVENTIONS as readonly string[]).includes(kind);
}
