/** Settings of the commands that work on a collector's files on its machine: they are the collector's own settings. */
import { collectorSettings } from '../../collector/config.ts';
import type { InsightOptions } from '../../collector/local.ts';
import type { SharedFile } from './settings.ts';

/** The collector's configuration, so that a command judges as the collector's page does. */
export const COLLECTOR_FILE: SharedFile = {
  schema: collectorSettings,
  defaultFile: '/etc/imdswatch/collector.yaml',
};

/** Directory of the collector's files. */
export const dataDirShape = collectorSettings.pick({ data_dir: true }).shape;

/** The files, and everything that a verdict depends on. */
export const judgingShape = collectorSettings.pick({
  data_dir: true,
  readiness_window_days: true,
  readiness_max_missing_seconds: true,
  silent_after_seconds: true,
}).shape;

/** Returns the options with which the collector itself judges. */
export function judgingOptions(settings: {
  readiness_window_days: number;
  readiness_max_missing_seconds: number;
  silent_after_seconds: number;
}): InsightOptions {
  return {
    readinessWindowDays: settings.readiness_window_days,
    readinessMaxMissingSeconds: settings.readiness_max_missing_seconds,
    silentAfterSeconds: settings.silent_after_seconds,
  };
}
