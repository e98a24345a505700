import type { CloudCountInput, CloudInstanceInput } from '../../contract/cloud.ts';

export interface CloudFigures {
  counts: CloudCountInput[];
  instances: CloudInstanceInput[];
  /** What was left out, by reason; each reason is a phrase for people. */
  ignored: Record<string, number>;
}

export interface CloudFileOptions {
  /** Whose figures these are, where the file does not say (`get-metric-statistics`). */
  instanceId: string | null;
  /** Period of the query, where the file does not say. */
  periodSeconds: number;
}
