import type { CloudCountInput, CloudInstanceInput, CloudInventoryInput } from '../../contract/cloud.ts';

export interface CloudFigures {
  counts: CloudCountInput[];
  instances: CloudInstanceInput[];
  /** Empty where the file has no inventory. */
  inventory: CloudInventoryInput;
  /** Number of entries that were left out, by reason. Each reason is a phrase for people. */
  ignored: Record<string, number>;
}

export const NO_INVENTORY: Readonly<CloudInventoryInput> = { instances: [], resources: [] };

export interface CloudFileOptions {
  /** Instance of the figures, for files that do not name it (`get-metric-statistics`). */
  instanceId: string | null;
  /** Period of the query, for files that do not name it. */
  periodSeconds: number;
}
