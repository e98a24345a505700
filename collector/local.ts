/**
 * The part of the collector that commands use on its machine, while it runs or not. The command line imports
 * nothing else of the collector but its settings (`config.ts`), its start (`main.ts`) and the schemas of what
 * is served (`contract/`).
 *
 * Every function throws `OperatorError` where a database is missing, cannot be opened or has another schema.
 */
import { existsSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PlanReport, PlanReportAnswer } from '../protocol/plan_report.ts';
import { Access } from './access/access.ts';
import { type Actor, COMMAND_PREFIX } from './access/principal.ts';
import { NO_PROXY } from './access/proxy_identity.ts';
import { ADMIN } from './admin/admin_schema.ts';
import type { AdminStore } from './admin/admin_store.ts';
import {
  CATALOGUE_QUESTIONS,
  type CatalogueState,
  catalogueCopy,
  catalogueState,
} from './admin/catalogue_rows.ts';
import { OWNER_RULES_QUESTION, type StoredOwnerRules, storedOwnerRules } from './admin/owner_rules.ts';
import { ALL_TRIAGE, triageRecords } from './admin/triage.ts';
import { Destinations } from './alert/destinations.ts';
import {
  type CatalogueView,
  catalogueView,
  NO_CATALOGUE,
  servedCatalogue,
} from './backstage/catalogue_view.ts';
import type { PlanTargetQuestion } from './contract/enforcement.ts';
import type { OwnerRules, OwnerRulesChange } from './contract/owner.ts';
import type { TriageRecord } from './contract/triage.ts';
import type { CloudFigures } from './insight/cloud_import/cloud_figures.ts';
import { toCounts, toInstances, toInventory } from './insight/cloud_import/stored_figures.ts';
import { EnforcementQuestions } from './insight/enforcement.ts';
import { Insight, type InsightOptions } from './insight/insight.ts';
import type { OwnerRule } from './insight/owner_rules.ts';
import type { Owners } from './insight/owners.ts';
import type { ReaderPlace } from './opened_data.ts';
import { changeOwnerRules, ownersOf, servedRules } from './owner_watch.ts';
import { dataNowUs, readingOf, sourceText } from './store/reading.ts';
import { openForReading as openDatabaseForReading } from './store/sqlite/database.ts';
import { FINDINGS } from './store/sqlite/findings_schema.ts';
import type { StoreQueries } from './store/store.ts';
import {
  openAdminData,
  openQuestions,
  openReports,
  putCloudFigures,
  type StorePlace,
} from './store_place.ts';

export { selfSignedFiles } from './access/self_signed.ts';
export { signInLink } from './access/sign_in_link.ts';
export { servedPresets } from './alert/http/presets.ts';
export { shapedCallLines } from './export/call_lines.ts';
export type { CloudFigures } from './insight/cloud_import/cloud_figures.ts';
export { readCloudFile } from './insight/cloud_import/cloud_file.ts';
export { DEFAULT_MAX_MISSING_SECONDS } from './insight/host_judge.ts';
export type { HostFilter } from './insight/question.ts';
export type { SchemaChange } from './store/schema_change.ts';
export { backUpAll, restoreAll } from './store/sqlite/backup.ts';
export { DiskFullError } from './store/sqlite/disk_full.ts';
export { changeSchemas, plannedChanges } from './store_place.ts';
export {
  type CheckedInvariant,
  checkStore,
  type Difference,
  isEqual,
  type StoreCheck,
} from './transfer/check_store.ts';
export type { Comparison } from './transfer/compare_stores.ts';
export { type CopyReport, copyStore } from './transfer/copy_store.ts';
export type { InvariantName } from './transfer/invariants.ts';
export { type Place, placeOf } from './transfer/places.ts';
export type { Access, Actor, Destinations, StorePlace, StoreQueries };

/** The databases of a data_dir, and the schema that this release brings each one to. */
export const DATABASES: readonly { file: string; schemaVersion: number }[] = [FINDINGS, ADMIN].map(
  ({ file, migrations }) => ({ file, schemaVersion: migrations.length }),
);

/** The findings of doctor about a standby that is to answer questions. */
export interface CheckedStandby {
  place: string;
  /** Null where it can answer. */
  problem: string | null;
  /** Age of its data; null where that is not known. */
  lagSeconds: number | null;
}

/** The findings of doctor about a PostgreSQL database. */
export interface CheckedDatabase {
  /** Host and port of the primary. */
  place: string;
  /** Version of the server, such as `15.18`. */
  version: string;
  /** Says what an acknowledgement is worth; `isSafe` is false where one machine can take it with it. */
  durability: { isSafe: boolean; text: string };
  /** Says why the server has no room for some megabytes; null where it has, or where the user may not try it. */
  room: { isChecked: boolean; problem: string | null };
  /** By how much the clock of this machine is ahead of the server's. Where it is not right, a collector has no lease. */
  clock: { aheadSeconds: number; isRight: boolean };
  /** Says why notifications between connections do not arrive; null where they do. */
  notificationProblem: string | null;
  /** Those of the setting `store_reader`. */
  standbys: CheckedStandby[];
}

/** Asks a database without changing it. Throws `OperatorError` where a collector could not use it. */
export async function checkDatabase(url: string, readers: ReaderPlace): Promise<CheckedDatabase> {
  return (await import('./postgres_place.ts')).checkDatabase(url, readers);
}

/** Says how findings are judged, from settings. */
export interface JudgingOptions extends Omit<InsightOptions, 'owners' | 'triage' | 'now' | 'isPart'> {
  /** Rules of the setting `owner_rules`. Those that admins set come before them. */
  ownerRules?: readonly OwnerRule[];
  /** The setting `backstage_url`. The stored copy of its catalogue comes behind these rules. */
  backstageUrl?: string | undefined;
}

/** Findings as they are committed at each question, and what they mean. */
export interface LocalFindings {
  store: StoreQueries;
  insight: Insight;
  enforcement: EnforcementQuestions;
  close(): Promise<void>;
}

/** Opens the findings for reading, with the triage of offenders. Collectors may go on writing both. */
export async function openForReading(place: StorePlace, options: JudgingOptions): Promise<LocalFindings> {
  const owners = await storedOwners(place, options);
  const store = await openQuestions(place);
  const triage = () => storedTriage(place);
  return {
    store,
    insight: new Insight(store, { triage, owners: () => owners, ...options }),
    enforcement: new EnforcementQuestions(store, options),
    close: () => store.close(),
  };
}

export type ReportFindings = Pick<LocalFindings, 'store' | 'insight'>;

/**
 * Makes a report for a person. A standby may answer its questions, where the settings name one; `source` then says from
 * when the data is. What decides an action uses `openForReading`.
 */
export async function makeReport<T>(
  place: StorePlace,
  options: JudgingOptions,
  work: (findings: ReportFindings) => Promise<T>,
): Promise<{ report: T; source: string | null }> {
  const owners = await storedOwners(place, options);
  const store = await openReports(place);
  const triage = () => storedTriage(place);
  const now = () => dataNowUs(Date.now() * 1000) / 1000;
  try {
    const insight = new Insight(store, { triage, now, owners: () => owners, ...options });
    const { value, reading } = await readingOf(() => work({ store, insight }));
    return { report: value, source: sourceText(reading) };
  } finally {
    await store.close();
  }
}

/** Returns the owner rules in the order in which they are asked, and what was read of the catalogue. */
export async function readOwnerRules(
  place: StorePlace,
  options: Pick<JudgingOptions, 'ownerRules' | 'backstageUrl'>,
): Promise<OwnerRules> {
  const { ownerRules = [], backstageUrl: url } = options;
  const { rules, state, view } = await storedOwnerData(place, url);
  return servedRules(rules, ownerRules, url === undefined ? null : servedCatalogue(url, state, view));
}

async function storedOwners(
  place: StorePlace,
  { ownerRules = [], backstageUrl }: JudgingOptions,
): Promise<Owners> {
  const { rules, view } = await storedOwnerData(place, backstageUrl);
  return ownersOf(ownerRules, rules, view.found.owners).owners;
}

interface StoredOwnerData {
  rules: StoredOwnerRules | null;
  /** Those of the catalogue; null and none where no catalogue is wanted, or where the stored one is of another address. */
  state: CatalogueState | null;
  view: CatalogueView;
}

/** `url`: the address of the catalogue; undefined where none is wanted. */
async function storedOwnerData(place: StorePlace, url: string | undefined): Promise<StoredOwnerData> {
  if (isCopyOfFindings(place)) return { rules: null, state: null, view: NO_CATALOGUE };
  const { rules, catalogue } = await readOwnerRows(place, url !== undefined);
  if (catalogue === null || catalogue.state?.url !== url) return { rules, state: null, view: NO_CATALOGUE };
  const { state, copy } = catalogue;
  return {
    rules,
    state,
    view: state?.readMs == null || copy === null ? NO_CATALOGUE : catalogueView(copy.entities),
  };
}

async function readOwnerRows(place: StorePlace, withCatalogue: boolean) {
  if (place.store !== undefined) {
    return withAdminData(place, async ({ ownerRules, catalogue }) => ({
      rules: await ownerRules.read(),
      catalogue: withCatalogue ? { state: await catalogue.state(), copy: await catalogue.entities() } : null,
    }));
  }
  const [rules, state, copy] = readAdminFile(place, (database) =>
    [
      OWNER_RULES_QUESTION,
      ...(withCatalogue ? [CATALOGUE_QUESTIONS.state, CATALOGUE_QUESTIONS.copy] : []),
    ].map((question) => {
      const value = database.prepare(question).get()?.['value'];
      return value === undefined ? undefined : JSON.parse(String(value));
    }),
  );
  return {
    rules: storedOwnerRules(rules),
    catalogue: withCatalogue ? { state: catalogueState(state), copy: await catalogueCopy(copy) } : null,
  };
}

async function storedTriage(place: StorePlace): Promise<TriageRecord[]> {
  if (isCopyOfFindings(place)) return [];
  if (place.store !== undefined) return withAdminData(place, (admin) => admin.triage.all());
  return readAdminFile(place, (database) => triageRecords(database.prepare(ALL_TRIAGE).all()));
}

/** Reads the admin data of the embedded store. A command that only reads needs no right to write, and must change no schema. */
function readAdminFile<T>(
  place: StorePlace,
  read: (database: ReturnType<typeof openDatabaseForReading>) => T,
): T {
  const database = openDatabaseForReading(place.data_dir, ADMIN);
  try {
    return read(database);
  } finally {
    database.close();
  }
}

/** A copy of the findings alone has no admin database: nobody has triaged or reported anything to it. */
function isCopyOfFindings({ data_dir: dataDir, store }: StorePlace): boolean {
  return store === undefined && !existsSync(join(dataDir, ADMIN.file));
}

async function withAdminData<T>(place: StorePlace, work: (admin: AdminStore) => Promise<T>): Promise<T> {
  const { admin, close } = await openAdminData(place);
  try {
    return await work(admin);
  } finally {
    await close();
  }
}

/**
 * Access to tokens, destinations and the audit log for somebody who can read the collector's files. A running
 * collector notices changes within a second.
 */
export interface LocalAdmin {
  access: Access;
  destinations: Destinations;
  /** It writes its own entries of the audit log, and so does the next. */
  triage: Pick<AdminStore['triage'], 'change'>;
  /** Replaces the owner rules that admins set. Throws as `changeOwnerRules` does. */
  changeOwnerRules(change: OwnerRulesChange): Promise<void>;
  /** Name of the user who runs the command, for the audit log. */
  actor: Actor;
  /** Appends an entry to the audit log. */
  audit(action: string, subject: string, detail: string): Promise<void>;
}

/**
 * Opens the admin data for `work`, and closes it afterwards. It must exist: a command never creates it.
 */
export async function withAdmin<T>(
  place: StorePlace,
  log: Logger,
  work: (admin: LocalAdmin) => Promise<T>,
): Promise<T> {
  return withAdminData(place, async (admin) => {
    const actor = commandActor();
    const options = {
      agentToken: null,
      agentTokenHost: null,
      proxy: NO_PROXY,
      secure: false,
      publicUrl: null,
    };
    const access = await Access.open(admin, options, log);
    try {
      return await work({
        access,
        destinations: new Destinations(admin),
        triage: admin.triage,
        changeOwnerRules: async (change) => {
          await changeOwnerRules(admin, change, actor);
        },
        actor,
        audit: (action, subject, detail) =>
          admin.auditLog.append(
            { actor: actor.name, action, subject, detail, source_address: null },
            Date.now(),
          ),
      });
    } finally {
      await access.close();
    }
  });
}

/** Stores figures of the cloud, and notes it in the audit log. `source` says where they came from: `2 files`. */
export async function supplyCloudFigures(
  place: StorePlace,
  { counts, instances, inventory }: Omit<CloudFigures, 'ignored'>,
  source: string,
): Promise<void> {
  const suppliedUs = Date.now() * 1000;
  await putCloudFigures(place, {
    counts: toCounts(counts),
    instances: toInstances(instances, suppliedUs),
    inventory: toInventory(inventory, suppliedUs),
  });
  const entry = {
    actor: commandActor().name,
    action: 'cloud_counts.supply',
    subject: 'cloud',
    detail: `${counts.length} counts, ${instances.length} instances and ${inventory.resources.length} resources from ${source}`,
    source_address: null,
  };
  const { admin, close } = await openAdminData(place, { mustExist: false });
  try {
    await admin.auditLog.append(entry, Date.now());
  } finally {
    await close();
  }
}

/** Stores what a process reports about the plan that it carries out. The admin data must exist. */
export async function storePlanReport(
  place: StorePlace,
  planId: string,
  report: PlanReport,
  by: string,
): Promise<PlanReportAnswer> {
  return withAdminData(place, async ({ plans }) => {
    const { steps, sequence_before } = await plans.report(planId, report, by, Date.now());
    return { steps, sequence_before };
  });
}

/** Returns the plans that are carried out now for a target, but for `except`, as their processes report. */
export async function plansUnderWay(
  place: StorePlace,
  target: PlanTargetQuestion,
  except: string,
): Promise<string[]> {
  if (isCopyOfFindings(place)) return [];
  return withAdminData(place, ({ plans }) => plans.underWayFor(target, except, Date.now()));
}

/** Returns the name of the user who runs a command, as the audit log has it: `command:root`. */
export function commandActorName(): string {
  return commandActor().name;
}

function commandActor(): Actor {
  let user: string;
  try {
    user = userInfo().username;
  } catch {
    // Many containers run as a user id without a name.
    user = String(process.getuid?.() ?? 'unknown');
  }
  return { name: `${COMMAND_PREFIX}${user}`, sourceAddress: null };
}
