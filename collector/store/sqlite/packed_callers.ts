/** The callers of one transaction, in the form that the writer of the store reads. */
import { callerKey, DefinedCaller, jsonOfCaller, type StoredCaller } from '../defined_caller.ts';
import type { CallBody } from '../store.ts';

/** A caller's facts as JSON. Most callers are known by their key, and the writer does not read the JSON. */
export interface PackedCaller {
  /** Null where the writer had it before: then it finds the row by the key. */
  readonly json: string | null;
  /** The key of its row (`callerKey`); null where the source address of each call belongs to the key. */
  readonly key: string | null;
}

export class CallerPacker {
  readonly packed: { json: string; key: string | null }[] = [];
  readonly #indices = new Map<StoredCaller, { hostId: string; index: number }>();
  readonly #withOpener = new Map<string, number>();

  /** Returns the index of a caller in `packed`. A defined caller stays as it is, so that its JSON is made when it is needed. */
  indexOf(caller: StoredCaller, hostId: string): number {
    const known = this.#indices.get(caller);
    if (known !== undefined && known.hostId === hostId) return known.index;
    const index = this.packed.push(packCaller(caller, hostId)) - 1;
    this.#indices.set(caller, { hostId, index });
    return index;
  }

  /**
   * Returns the index of the same caller with the opener of the connection. The opener is stored with the caller's
   * facts: each may be another process, and templates are few.
   */
  indexWithOpener(index: number, hostId: string, opener: NonNullable<CallBody['opener']>): number {
    const openerJson = JSON.stringify(opener);
    const known = this.#withOpener.get(`${index} ${openerJson}`);
    if (known !== undefined) return known;
    const { json, key } = this.packed[index]!;
    const withOpener = `${json.slice(0, -1)},"opener":${openerJson}}`;
    const added = this.packed.push({
      json: withOpener,
      key: key === null ? null : callerKey(hostId, '', withOpener),
    });
    this.#withOpener.set(`${index} ${openerJson}`, added - 1);
    return added - 1;
  }
}

function packCaller(caller: StoredCaller, hostId: string): { json: string; key: string | null } {
  if (caller instanceof DefinedCaller) return caller;
  const json = jsonOfCaller(caller);
  return { json, key: caller.process === null ? null : callerKey(hostId, '', json) };
}
