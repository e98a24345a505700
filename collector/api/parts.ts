/** What the API is built from: the rooms below it, by what it asks of them. */
import type { Logger } from 'pino';
import type { StageCounters } from '../../protocol/records.ts';
import type { Access } from '../access/access.ts';
import type { Alerts } from '../alert/alerts.ts';
import type { Insight } from '../insight/insight.ts';
import type { Store } from '../store/store.ts';
import type { LiveFeed } from './live_feed.ts';
import type { ApiMetrics } from './metrics.ts';

type Methods<Class, Names extends keyof Class> = Pick<Class, Names>;

export type InsightAnswers = Methods<
  Insight,
  'overview' | 'offenders' | 'offender' | 'hosts' | 'host' | 'groups' | 'reconciliation'
>;
/** For pages, which ask the same again and again: an answer may be a few seconds old, and says so by the end of its window. */
export interface RememberedAnswers extends InsightAnswers {
  /** For what is taken away and read later. */
  readonly fresh: InsightAnswers;
  /** After a change by hand. */
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
  'destinations' | 'addDestination' | 'changeDestination' | 'removeDestination' | 'test' | 'recent'
>;
export type FindingsStore = Methods<
  Store,
  'calls' | 'putCloudCounts' | 'putCloudInstances' | 'statistics' | 'write'
>;

export interface ApiParts {
  insight: RememberedAnswers;
  access: ApiAccess;
  alerts: AlertService;
  store: FindingsStore;
  live: LiveFeed;
  metrics: ApiMetrics;
  /** Counters of the stages beside the API: ingest, writer, access, alerts. */
  counters: () => StageCounters;
  /** Null when the collector takes records; else why it does not. */
  unready: () => Promise<string | null>;
  log: Logger;
  /** Of a question that names no time. */
  defaultWindowDays: number;
  /** This very server speaks TLS. */
  tls: boolean;
  /** Where the built page lies. */
  pageDirectory: string;
}
