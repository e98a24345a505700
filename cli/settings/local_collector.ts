/**
 * Settings of commands that work on the collector's files on this machine. They are settings of the collector
 * too.
 */
import { collectorSettings, ownerRules, workloadRules } from '../../collector/config.ts';
import type { JudgingOptions } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { collectorAccessShape } from './collector_access_shape.ts';
import type { SharedFile } from './settings.ts';

/**
 * The collector's configuration file: a command that reads it reaches the same verdicts as the page. A file on another
 * machine may have the settings of access to the collector instead.
 */
export const COLLECTOR_FILE: SharedFile = {
  schema: collectorSettings.extend(collectorAccessShape),
  defaultFile: '/etc/imdswatch/collector.yaml',
};

/** Settings that say where the collector's data is. */
export const storeShape = collectorSettings.pick({ data_dir: true, store: true }).shape;

/** Settings that say where the data is, and those that verdicts and workloads depend on. */
export const judgingShape = collectorSettings.pick({
  data_dir: true,
  store: true,
  store_reader: true,
  store_reader_max_lag_seconds: true,
  readiness_window_days: true,
  readiness_max_missing_seconds: true,
  silent_after_seconds: true,
  helper_programs: true,
  release_patterns: true,
  owner_rules: true,
  backstage_url: true,
}).shape;

/** The same, and access to a collector on another machine, which judges by its own settings. */
export const anyCollectorShape = { ...collectorAccessShape, ...judgingShape };

/** Returns the options of verdicts and workloads from these settings. */
export function judgingOptions(settings: {
  readiness_window_days: number;
  readiness_max_missing_seconds: number;
  silent_after_seconds: number;
  helper_programs: string[];
  release_patterns: string[];
  owner_rules: string[];
  backstage_url?: string | undefined;
}): JudgingOptions {
  return {
    readinessWindowDays: settings.readiness_window_days,
    readinessMaxMissingSeconds: settings.readiness_max_missing_seconds,
    silentAfterSeconds: settings.silent_after_seconds,
    rules: workloadRules(settings),
    ownerRules: ownerRules(settings),
    backstageUrl: settings.backstage_url,
  };
}

/** Throws `OperatorError` (2) where the collector's data is in a database, which has tools of its own. */
export function refuseDatabase({ store }: { store?: string | undefined }, done: 'copied' | 'restored'): void {
  if (store === undefined) return;
  throw new OperatorError(
    2,
    `The setting store names a PostgreSQL database, which is ${done} by its own tools: pg_basebackup with an archive of its write-ahead log (any moment), pg_dump and pg_restore (one consistent copy), or the snapshots of a managed service. See docs/postgresql.md.`,
  );
}
