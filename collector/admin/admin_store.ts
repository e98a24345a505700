/** The interface of the admin data: rows by what they are about, transactions, and changes that another process made. */
import type { AdminSql, Area, Versioned } from './admin_sql.ts';
import { AlertRows } from './alerts.ts';
import { AuditLog } from './audit_log.ts';
import { CatalogueRows } from './catalogue_rows.ts';
import { CertifiedHosts } from './certified_hosts.ts';
import { FindingRows } from './finding_rows.ts';
import { KeptAnswerRows } from './kept_answers.ts';
import { Leases } from './leases.ts';
import { OwnerRuleRows } from './owner_rules.ts';
import { PlanRows } from './plans.ts';
import { Sessions } from './sessions.ts';
import { StoredSettings } from './stored_settings.ts';
import { StreamCursors } from './stream_cursors.ts';
import { Tokens } from './tokens.ts';
import { TriageRows } from './triage.ts';

/** The public methods of a class. */
type Methods<T> = Pick<T, keyof T>;

export interface AdminStore {
  readonly tokens: Methods<Tokens>;
  readonly sessions: Methods<Sessions>;
  readonly certifiedHosts: Methods<CertifiedHosts>;
  readonly auditLog: Methods<AuditLog>;
  readonly settings: Methods<StoredSettings>;
  readonly alerts: Methods<AlertRows>;
  readonly triage: Methods<TriageRows>;
  readonly ownerRules: Methods<OwnerRuleRows>;
  readonly catalogue: Methods<CatalogueRows>;
  readonly plans: Methods<PlanRows>;
  readonly leases: Methods<Leases>;
  readonly cursors: Methods<StreamCursors>;
  readonly findings: Methods<FindingRows>;
  readonly keptAnswers: Methods<KeptAnswerRows>;
  /** True where other collectors may use the same data. */
  readonly isShared: boolean;
  /**
   * Runs `work` in a transaction: all of its changes are stored, or none. Transactions about one area are run one after
   * the other, so that what they have read is still true when they write. `work` must use the store that it is given,
   * and wait for nothing else. A transaction within another is stored with the outer one, and fails alone.
   */
  transaction<T>(area: Area, work: (store: AdminStore) => Promise<T>): Promise<T>;
  /** Returns a text that changes when another process has changed what it is `of`. It may change without reason. */
  version(of: Versioned): Promise<string>;
}

export class SqlAdminStore implements AdminStore {
  readonly tokens: Tokens;
  readonly sessions: Sessions;
  readonly certifiedHosts: CertifiedHosts;
  readonly auditLog: AuditLog;
  readonly settings: StoredSettings;
  readonly alerts: AlertRows;
  readonly triage: TriageRows;
  readonly ownerRules: OwnerRuleRows;
  readonly catalogue: CatalogueRows;
  readonly plans: PlanRows;
  readonly leases: Leases;
  readonly cursors: StreamCursors;
  readonly findings: FindingRows;
  readonly keptAnswers: KeptAnswerRows;
  readonly isShared: boolean;
  readonly #sql: AdminSql;

  constructor(sql: AdminSql) {
    this.#sql = sql;
    this.tokens = new Tokens(sql);
    this.sessions = new Sessions(sql);
    this.certifiedHosts = new CertifiedHosts(sql);
    this.auditLog = new AuditLog(sql);
    this.settings = new StoredSettings(sql);
    this.alerts = new AlertRows(sql);
    this.triage = new TriageRows(sql);
    this.ownerRules = new OwnerRuleRows(sql);
    this.catalogue = new CatalogueRows(sql);
    this.plans = new PlanRows(sql);
    this.leases = new Leases(sql);
    this.cursors = new StreamCursors(sql);
    this.findings = new FindingRows(sql);
    this.keptAnswers = new KeptAnswerRows(sql);
    this.isShared = sql.clockMs !== null;
  }

  transaction<T>(area: Area, work: (store: AdminStore) => Promise<T>): Promise<T> {
    return this.#sql.transaction(area, (sql) => work(new SqlAdminStore(sql)));
  }

  version(of: Versioned): Promise<string> {
    return this.#sql.version(of);
  }
}
