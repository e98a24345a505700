/** The interface of the admin database: rows by what they are about, transactions, and changes that another process made. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { AlertRows } from './alerts.ts';
import { AuditLog } from './audit_log.ts';
import { CertifiedHosts } from './certified_hosts.ts';
import { PlanRows } from './plans.ts';
import { Sessions } from './sessions.ts';
import { StoredSettings } from './stored_settings.ts';
import { Tokens } from './tokens.ts';
import { transaction } from './transaction.ts';
import { TriageRows } from './triage.ts';

/** The public methods of a class, so that another store can implement them. */
type Methods<T> = Pick<T, keyof T>;

export interface AdminStore {
  readonly tokens: Methods<Tokens>;
  readonly sessions: Methods<Sessions>;
  readonly certifiedHosts: Methods<CertifiedHosts>;
  readonly auditLog: Methods<AuditLog>;
  readonly settings: Methods<StoredSettings>;
  readonly alerts: Methods<AlertRows>;
  readonly triage: Methods<TriageRows>;
  readonly plans: Methods<PlanRows>;
  /** Runs `work` in a transaction: all of its changes are stored, or none. Transactions may be nested. */
  transaction<T>(work: () => T): T;
  /** Returns a number that changes when another process has committed. */
  foreignVersion(): number;
}

/** The admin store on SQLite. The caller closes `database`. */
export class SqliteAdminStore implements AdminStore {
  readonly tokens: Tokens;
  readonly sessions: Sessions;
  readonly certifiedHosts: CertifiedHosts;
  readonly auditLog: AuditLog;
  readonly settings: StoredSettings;
  readonly alerts: AlertRows;
  readonly triage: TriageRows;
  readonly plans: PlanRows;
  readonly #database: DatabaseSync;
  readonly #dataVersion: StatementSync;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.tokens = new Tokens(database);
    this.sessions = new Sessions(database);
    this.certifiedHosts = new CertifiedHosts(database);
    this.auditLog = new AuditLog(database);
    this.settings = new StoredSettings(database);
    this.alerts = new AlertRows(database);
    this.triage = new TriageRows(database, this.auditLog);
    this.plans = new PlanRows(database, this.auditLog);
    // See https://www.sqlite.org/pragma.html#pragma_data_version.
    this.#dataVersion = database.prepare('PRAGMA data_version');
  }

  transaction<T>(work: () => T): T {
    return transaction(this.#database, work);
  }

  foreignVersion(): number {
    return Number(this.#dataVersion.get()?.['data_version']);
  }
}
