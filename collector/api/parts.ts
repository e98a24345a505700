/** The parts that the API is composed of: from each room below it, the methods that the API calls. */

import type { Context } from 'hono';
import type { Logger } from 'pino';
import type { Counters, StageCounters } from '../../protocol/records.ts';
import type { Access } from '../access/access.ts';
import type { OidcSignIn } from '../access/oidc/oidc_sign_in.ts';
import type { AdminStore } from '../admin/admin_store.ts';
import type { LeaseState } from '../admin/lease.ts';
import type { Alerts } from '../alert/alerts.ts';
import type { Sight } from '../contract/host_scope.ts';
import type { Storage } from '../contract/storage.ts';
import type { EnforcementQuestions } from '../insight/enforcement.ts';
import type { Insight } from '../insight/insight.ts';
import type { LiveFeed } from '../live/live_feed.ts';
import type { OwnerWatch } from '../owner_watch.ts';
import type { FollowedCalls } from '../store/followed_calls.ts';
import type { ReaderState } from '../store/postgres/standby_reader.ts';
import type { Store } from '../store/store.ts';
import type { WorkloadRules } from '../store/workload_rules.ts';
import type { ApiEnv } from './env.ts';
import type { ApiMetrics, Observed } from './metrics.ts';

type Methods<Class, Names extends keyof Class> = Pick<Class, Names>;

export type InsightAnswers = Methods<
  Insight,
  | 'overview'
  | 'offenders'
  | 'offender'
  | 'hostPage'
  | 'host'
  | 'groups'
  | 'reconciliation'
  | 'fixFirst'
  | 'burnDown'
  | 'group'
  | 'readinessGroups'
>;
export type FreshAnswers = InsightAnswers &
  Methods<
    Insight,
    | 'board'
    | 'allHosts'
    | 'readinessPage'
    | 'allReadiness'
    | 'glances'
    | 'describeHosts'
    | 'triageRecords'
    | 'endedTriage'
    | 'offendersOf'
    | 'fixFirstOf'
    | 'groupsOf'
    | 'untriagedOf'
  >;
/**
 * Insight for pages, which ask the same again and again. An answer may be a few seconds old, as the end of
 * its window shows.
 */
export interface RememberedAnswers extends InsightAnswers {
  /** Answers without a cache, for exports. */
  readonly fresh: FreshAnswers;
  /** Returns when an answer of this object was worked out: everything that was stored before counts. */
  asOfUs(answer: object): number;
  /** Forgets the kept answers after a change by a person, and has new ones show it. */
  forget(): void;
}
/** Findings of the fleet, or of the hosts of a scope. */
export interface View {
  insight: RememberedAnswers & { counters(): Counters };
  /** Its calls are selected by workload. */
  calls: Store['calls'];
}
export interface ViewsOfPeople {
  of(sight: Sight): View;
  /** Returns what the person behind a request sees. */
  for(c: Context<ApiEnv>): View;
  /** Forgets the kept answers of everybody after a change by a person. */
  forget(): void;
}
export type ApiAccess = Methods<
  Access,
  | 'identifyUser'
  | 'clientAddress'
  | 'mayChange'
  | 'cookie'
  | 'signIn'
  | 'signOut'
  | 'tokens'
  | 'createToken'
  | 'revokeToken'
  | 'audit'
  | 'auditLog'
  | 'retention'
  | 'setRetention'
>;
export type AlertService = Methods<
  Alerts,
  | 'destinations'
  | 'addDestination'
  | 'changeDestination'
  | 'removeDestination'
  | 'sendTest'
  | 'recentAlerts'
  | 'openAlerts'
  | 'unrouted'
>;
export type FindingsStore = Methods<
  Store,
  'putCloudCounts' | 'putCloudInstances' | 'putCloudInventory' | 'statistics' | 'write'
>;

export interface ApiParts {
  /** Findings, by what whoever asks may see. */
  views: ViewsOfPeople;
  /** Answers of the store itself, for what changes something. */
  deciding: Methods<Insight, 'offender' | 'triageRecords' | 'explainOwner'>;
  enforcement: Methods<
    EnforcementQuestions,
    'hosts' | 'hostsAfter' | 'refusedCalls' | 'newHosts' | 'acceptedCalls' | 'hostsOfCaller' | 'watched'
  >;
  access: ApiAccess;
  /** Signing in at an identity provider; null where that is not set up. */
  oidc: Methods<OidcSignIn, 'name' | 'begin' | 'finish' | 'clearCookie' | 'endSessionUrl'> | null;
  alerts: AlertService;
  triage: Pick<AdminStore['triage'], 'change'>;
  owners: Methods<OwnerWatch, 'rules' | 'change' | 'look'>;
  plans: Pick<AdminStore['plans'], 'underWayFor' | 'report' | 'all' | 'one' | 'steps'>;
  store: FindingsStore;
  /** Says what an acknowledgement is worth in the store now. */
  storage: () => Promise<Storage>;
  /** The standbys that answer questions; null where there are none. */
  reader: () => ReaderState | null;
  /** The work that one of several collectors does, and whether it is this one. */
  leases: () => readonly LeaseState[];
  rules: WorkloadRules;
  /** Calls in the order of their arrival. */
  followed: Methods<FollowedCalls, 'begin' | 'page'>;
  live: LiveFeed;
  metrics: ApiMetrics;
  /** Returns the counters of the stages beside the API: ingest, writer, access, alerts. */
  counters: () => StageCounters;
  /** Returns what this collector has stored, and who is connected to it. */
  observed: () => Observed;
  /** Key of the tag by which metrics count hosts; null for none. */
  metricsGroupTag: string | null;
  /** Returns null if the collector accepts records, else the reason why it does not. */
  unready: () => Promise<string | null>;
  log: Logger;
  /** Window of a question that names none. */
  defaultWindowDays: number;
  /** True if this server uses TLS itself. */
  tls: boolean;
  /** Directory of the built page. */
  pageDirectory: string;
}
