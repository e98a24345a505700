/** Sends the cloud's figures to a collector on another machine, and reads its comparison. */
import * as z from 'zod';
import { type Reconciliation, reconciliation } from '../collector/contract/cloud.ts';
import type { CloudFigures } from '../collector/local.ts';
import { OperatorError } from '../common/operator_error.ts';
import type { CollectorClient } from './collector_client/collector_client.ts';

/** Half of what the collector takes in one request. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const MAX_ENTRIES = 50_000;
const SEND_TIMEOUT_MS = 120_000;

const answer = z.object({ stored: z.int() });
const compared = z.object({ items: z.array(reconciliation) });

/**
 * Returns the comparison for the instances that have counts; empty without counts. Throws `OperatorError`, which says how
 * much was stored before. Storing the same again changes nothing.
 */
export async function sendAndCompare(
  { counts, instances, inventory }: Omit<CloudFigures, 'ignored'>,
  client: CollectorClient,
): Promise<Reconciliation[]> {
  const bodies = [
    ...batches(counts).map((body) => ({ path: '/cloud/counts', body: body as unknown })),
    ...batches(instances).map((body) => ({ path: '/cloud/instances', body })),
    ...batches(inventory.instances).map((body) => inventoryBody({ instances: body })),
    ...batches(inventory.resources.filter(({ kind }) => kind !== 'complete_read')).map((body) =>
      inventoryBody({ resources: body }),
    ),
    // A place counts as read only when all of it is there.
    ...batches(inventory.resources.filter(({ kind }) => kind === 'complete_read')).map((body) =>
      inventoryBody({ resources: body }),
    ),
  ];
  let sent = 0;
  for (const { path, body } of bodies) {
    try {
      await client.change('POST', path, body, answer, { timeoutMs: SEND_TIMEOUT_MS });
    } catch (error) {
      if (!(error instanceof OperatorError) || sent === 0) throw error;
      throw new OperatorError(
        error.exitCode,
        `Only ${sent} of ${bodies.length} parts of the cloud's figures were stored: ${error.message} Then run the command again; what is stored already stays as it is.`,
      );
    }
    sent += 1;
  }
  if (counts.length === 0) return [];
  const from = counts.reduce((least, { start }) => Math.min(least, Date.parse(start)), Infinity);
  const to = counts.reduce((most, { end }) => Math.max(most, Date.parse(end)), 0);
  const window = new URLSearchParams({ from: new Date(from).toISOString(), to: new Date(to).toISOString() });
  const ids = new Set(counts.map(({ instance_id: id }) => id));
  const { items } = await client.get(`/reconciliation?${window}`, compared);
  return items.filter(({ id }) => ids.has(id));
}

function inventoryBody(part: { instances?: unknown[]; resources?: unknown[] }): {
  path: string;
  body: unknown;
} {
  return { path: '/cloud/inventory', body: { instances: [], resources: [], ...part } };
}

/** Divides a list into parts that one request may have. */
export function batches<T>(items: readonly T[]): T[][] {
  const parts: T[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const size = Buffer.byteLength(JSON.stringify(item)) + 1;
    if (bytes + size > MAX_BODY_BYTES || parts.at(-1)!.length >= MAX_ENTRIES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(item);
    bytes += size;
  }
  return parts;
}
