/**
 * Gives the connections of one process the same owner, as long as nothing about it has changed. An owner takes some
 * kilobytes with its parents, and it is kept for each socket. What was made of it is found again by the same object.
 */
import { isDeepStrictEqual } from 'node:util';
import { Recent } from '../../common/bounded_map.ts';
import type { SocketOwner } from './owner.ts';

const MAX_OWNERS = 256;

export class LastingOwners {
  readonly #owners = new Recent<SocketOwner>(MAX_OWNERS);

  /** Returns the last owner with this pid if it is equal, else this one. */
  sharedOwner(owner: SocketOwner): SocketOwner {
    const key = String(owner.pid);
    const last = this.#owners.get(key);
    if (last !== undefined && isDeepStrictEqual(last, owner)) return last;
    this.#owners.set(key, owner);
    return owner;
  }
}
