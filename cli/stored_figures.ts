/** Stores the cloud's figures on the collector's machine, and compares the counts with the calls that were seen. */
import type { Reconciliation } from '../collector/contract/cloud.ts';
import {
  type CloudFigures,
  type JudgingOptions,
  openForReading,
  type StorePlace,
  supplyCloudFigures,
} from '../collector/local.ts';

export interface FiguresDestination {
  place: StorePlace;
  judging: JudgingOptions;
  /** Says where the figures came from, for the audit log. */
  source: string;
}

/**
 * Returns the comparison for the instances that have counts; empty without counts. Throws `OperatorError` before
 * anything is stored.
 */
export async function storeAndCompare(
  { counts, instances, inventory }: Omit<CloudFigures, 'ignored'>,
  { place, judging, source }: FiguresDestination,
): Promise<Reconciliation[]> {
  // Opening the store reports an error (no store, another release) before anything is written.
  const { insight, close } = await openForReading(place, judging);
  try {
    await supplyCloudFigures(place, { counts, instances, inventory }, source);
    if (counts.length === 0) return [];
    const window = {
      sinceUs: counts.reduce((least, { start }) => Math.min(least, Date.parse(start)), Infinity) * 1000,
      untilUs: counts.reduce((most, { end }) => Math.max(most, Date.parse(end)), 0) * 1000,
    };
    const ids = new Set(counts.map(({ instance_id: id }) => id));
    return (await insight.reconciliation({ window })).filter(({ id }) => ids.has(id));
  } finally {
    await close();
  }
}
