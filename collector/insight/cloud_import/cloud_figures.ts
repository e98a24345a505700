import type { CloudCountInput, CloudInstanceInput } from '../../contract/cloud.ts';

export interface CloudFigures {
  counts: CloudCountInput[];
  instances: CloudInstanceInput[];
  /** Number of entries that were left out, by reason. Each reason is a phrase for people. */
  ignored: Record<string, number>;
}

export interface CloudFileOptions {
  /** Instance of the figures, for files that do not name it (`get-metric-statistics`). */
  instanceId: string | null;
  /** Period of the query, for files that do not name it. */
  periodSeconds: number;
}
