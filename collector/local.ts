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
import { ADMIN, openAdmin } from './admin/admin_schema.ts';
import type { AdminStore } from './admin/admin_store.ts';
import { SqliteAdminStore } from './admin/sqlite/sqlite_admin_store.ts';
import { ALL_TRIAGE, triageRecords } from './admin/triage.ts';
import { Destinations } from './alert/destinations.ts';
import type { PlanTargetQuestion } from './contract/enforcement.ts';
import type { TriageRecord } from './contract/triage.ts';
import type { CloudFigures } from './insight/cloud_import/cloud_figures.ts';
import { toCounts, toInstances, toInventory } from './insight/cloud_import/stored_figures.ts';
import { EnforcementQuestions } from './insight/enforcement.ts';
import { Insight, type InsightOptions } from './insight/insight.ts';
import { openForReading as openDatabaseForReading, openForWriting } from './store/sqlite/database.ts';
import { FINDINGS } from './store/sqlite/findings_schema.ts';
import { FindingsWriter } from './store/sqlite/findings_writer.ts';
import { openStoreForReading } from './store/sqlite/sqlite_store.ts';
import type { StoreQueries } from './store/store.ts';

export { selfSignedFiles } from './access/self_signed.ts';
export { signInLink } from './access/sign_in_link.ts';
export type { CloudFigures } from './insight/cloud_import/cloud_figures.ts';
export { readCloudFile } from './insight/cloud_import/cloud_file.ts';
export { DEFAULT_MAX_MISSING_SECONDS } from './insight/host_judge.ts';
export type { HostFilter } from './insight/question.ts';
export { backUpAll, restoreAll } from './store/sqlite/backup.ts';
export { DiskFullError } from './store/sqlite/disk_full.ts';
export type { Access, Actor, Destinations, InsightOptions, StoreQueries };

/** The databases of a data_dir, and the schema that this release brings each one to. */
export const DATABASES: readonly { file: string; schemaVersion: number }[] = [FINDINGS, ADMIN].map(
  ({ file, migrations }) => ({ file, schemaVersion: migrations.length }),
);

/** Findings as they are committed at each question, and what they mean. */
export interface LocalFindings {
  store: StoreQueries;
  insight: Insight;
  enforcement: EnforcementQuestions;
  close(): Promise<void>;
}

/** Opens the findings for reading, with the triage of offenders. A collector may go on writing both. */
export function openForReading(dataDir: string, options: InsightOptions): LocalFindings {
  const store = openStoreForReading(dataDir);
  const triage = async () => storedTriage(dataDir);
  return {
    store,
    insight: new Insight(store, { triage, ...options }),
    enforcement: new EnforcementQuestions(store, options),
    close: () => store.close(),
  };
}

/** A copy of the findings alone has no admin database, and then nobody has triaged anything in it. */
function storedTriage(dataDir: string): TriageRecord[] {
  if (!existsSync(join(dataDir, ADMIN.file))) return [];
  const database = openDatabaseForReading(dataDir, ADMIN);
  try {
    return triageRecords(database.prepare(ALL_TRIAGE).all());
  } finally {
    database.close();
  }
}

/**
 * Access to tokens, destinations and the audit log for somebody who can read the collector's files. A running
 * collector notices changes within a second.
 */
export interface LocalAdmin {
  access: Access;
  destinations: Destinations;
  /** It writes its own entries of the audit log. */
  triage: Pick<AdminStore['triage'], 'change'>;
  /** Name of the user who runs the command, for the audit log. */
  actor: Actor;
  /** Appends an entry to the audit log. */
  audit(action: string, subject: string, detail: string): Promise<void>;
}

/**
 * Opens the admin database for `work`, and closes it afterwards. It must exist: a command never creates one.
 */
export async function withAdmin<T>(
  dataDir: string,
  log: Logger,
  work: (admin: LocalAdmin) => Promise<T>,
): Promise<T> {
  const database = openAdmin(dataDir, { mustExist: true });
  try {
    const admin = new SqliteAdminStore(database);
    const actor = commandActor();
    const options = {
      agentToken: null,
      agentTokenHost: null,
      proxy: { userHeader: null, trustedAddresses: [], admins: [] },
      secure: false,
      publicUrl: null,
    };
    const access = await Access.open(admin, options, log);
    try {
      return await work({
        access,
        destinations: new Destinations(admin),
        triage: admin.triage,
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
  } finally {
    database.close();
  }
}

/** Stores figures of the cloud, and notes it in the audit log. `source` says where they came from: `2 files`. */
export async function supplyCloudFigures(
  dataDir: string,
  { counts, instances, inventory }: Omit<CloudFigures, 'ignored'>,
  source: string,
): Promise<void> {
  const findings = openForWriting(dataDir, FINDINGS);
  try {
    const writer = new FindingsWriter(findings);
    const suppliedUs = Date.now() * 1000;
    writer.putCloudCounts(toCounts(counts));
    writer.putCloudInstances(toInstances(instances, suppliedUs));
    writer.putCloudInventory(toInventory(inventory, suppliedUs));
  } finally {
    findings.close();
  }
  const admin = openAdmin(dataDir);
  try {
    const entry = {
      actor: commandActor().name,
      action: 'cloud_counts.supply',
      subject: 'cloud',
      detail: `${counts.length} counts, ${instances.length} instances and ${inventory.resources.length} resources from ${source}`,
      source_address: null,
    };
    await new SqliteAdminStore(admin).auditLog.append(entry, Date.now());
  } finally {
    admin.close();
  }
}

/** Stores what a process reports about the plan that it carries out. The database must exist. */
export async function storePlanReport(
  dataDir: string,
  planId: string,
  report: PlanReport,
  by: string,
): Promise<PlanReportAnswer> {
  const admin = openAdmin(dataDir, { mustExist: true });
  try {
    const { plans } = new SqliteAdminStore(admin);
    const { steps, sequence_before } = await plans.report(planId, report, by, Date.now());
    return { steps, sequence_before };
  } finally {
    admin.close();
  }
}

/** Returns the plans that are carried out now for a target, but for `except`, as their processes report. */
export async function plansUnderWay(
  dataDir: string,
  target: PlanTargetQuestion,
  except: string,
): Promise<string[]> {
  // Nobody has reported a plan to a copy of the findings alone.
  if (!existsSync(join(dataDir, ADMIN.file))) return [];
  const admin = openAdmin(dataDir, { mustExist: true });
  try {
    return await new SqliteAdminStore(admin).plans.underWayFor(target, except, Date.now());
  } finally {
    admin.close();
  }
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
