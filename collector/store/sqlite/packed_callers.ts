/** The callers of one transaction, in the form that is sent to the writer's thread. */
import { hash } from 'node:crypto';
import type { CallBody } from '../store.ts';
import type { CallerFacts } from '../workload_identity.ts';

/** A caller's facts as JSON. Most callers are known by their key, and the writer does not read the JSON. */
export interface PackedCaller {
  json: string;
  /** The key of its row (`callerKey`); null where the source address of each call belongs to the key. */
  key: string | null;
}

/**
 * Returns the key of a caller's row in base64. `where` is the source address of a caller whose process is not
 * known, which tells workloads apart then, and empty otherwise.
 */
export function callerKey(hostId: string, where: string, json: string): string {
  return hash('sha256', JSON.stringify([hostId, where, json]), 'base64');
}

export class CallerPacker {
  readonly packed: PackedCaller[] = [];
  readonly #indices = new Map<CallerFacts, { hostId: string; index: number }>();
  readonly #withOpener = new Map<string, number>();

  /** Returns the index of a caller in `packed`. */
  indexOf(facts: CallerFacts, hostId: string): number {
    const known = this.#indices.get(facts);
    if (known !== undefined && known.hostId === hostId) return known.index;
    const index = this.packed.push(packCaller(facts, hostId)) - 1;
    this.#indices.set(facts, { hostId, index });
    return index;
  }

  /**
   * Returns the index of the same caller with the opener of the connection. The opener is stored with the caller's
   * facts: each may be another process, and templates are few.
   */
  indexWithOpener(index: number, hostId: string, opener: NonNullable<CallBody['opener']>): number {
    const { json, key } = this.packed[index]!;
    const withOpener = `${json.slice(0, -1)},"opener":${JSON.stringify(opener)}}`;
    const known = this.#withOpener.get(`${hostId} ${withOpener}`);
    if (known !== undefined) return known;
    const added = this.packed.push({
      json: withOpener,
      key: key === null ? null : callerKey(hostId, '', withOpener),
    });
    this.#withOpener.set(`${hostId} ${withOpener}`, added - 1);
    return added - 1;
  }
}

/** A connection uses the same object for a caller in every batch (`CallerTable`). */
const packedCallers = new WeakMap<CallerFacts, { hostId: string; packed: PackedCaller }>();

/** Returns equal JSON for equal facts, in whatever order a batch has the fields. */
function packCaller(facts: CallerFacts, hostId: string): PackedCaller {
  const known = packedCallers.get(facts);
  if (known?.hostId === hostId) return known.packed;
  const { process, container, k8s, systemd } = facts;
  const json = JSON.stringify({
    process,
    container,
    k8s,
    systemd,
    'attribution.method': facts['attribution.method'],
    'attribution.confidence': facts['attribution.confidence'],
  });
  const packed = { json, key: process === null ? null : callerKey(hostId, '', json) };
  packedCallers.set(facts, { hostId, packed });
  return packed;
}
