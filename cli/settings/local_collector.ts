/**
 * Settings of commands that work on the collector's files on this machine. They are settings of the collector
 * too.
 */
import { collectorSettings, ownerRules, workloadRules } from '../../collector/config.ts';
import type { InsightOptions } from '../../collector/local.ts';
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

/** Directory of the collector's files. */
export const dataDirShape = collectorSettings.pick({ data_dir: true }).shape;

/** The directory and the settings that verdicts and workloads depend on. */
export const judgingShape = collectorSettings.pick({
  data_dir: true,
  readiness_window_days: true,
  readiness_max_missing_seconds: true,
  silent_after_seconds: true,
  helper_programs: true,
  release_patterns: true,
  owner_rules: true,
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
}): InsightOptions {
  return {
    readinessWindowDays: settings.readiness_window_days,
    readinessMaxMissingSeconds: settings.readiness_max_missing_seconds,
    silentAfterSeconds: settings.silent_after_seconds,
    rules: workloadRules(settings),
    ownerRules: ownerRules(settings),
  };
}
