/**
 * SYNs on the ports of a living connection. Their data is kept, in case the service answers one of them after
 * all.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import { HALF_OPEN_EXPIRY_US } from './limits.ts';
import type { Segment } from './segment.ts';
import { seqDistance } from './sequence.ts';

const MAX_SYNS = 256;
const MAX_PAYLOAD_BYTES = 1_500;

export class RivalSyns {
  /** By the key of the connection; oldest first. */
  private readonly syns = new Map<string, Segment>();

  /** Keeps a copy of a SYN that carries data. */
  addSyn(key: string, segment: Segment): void {
    const { payload, options } = segment;
    if (payload.length === 0 || payload.length > MAX_PAYLOAD_BYTES) return;
    this.syns.delete(key);
    this.syns.set(key, {
      ...segment,
      payload: Uint8Array.from(payload),
      options: Uint8Array.from(options),
    });
    deleteOldestEntries(this.syns, MAX_SYNS);
  }

  /**
   * Removes the SYN of this connection. Returns it if the acknowledgement number `ack` answers it, else null.
   */
  takeAnswered(key: string, ack: number): Segment | null {
    const syn = this.syns.get(key);
    if (syn === undefined) return null;
    this.syns.delete(key);
    const carriedBytes = seqDistance(ack, syn.seq) - 1;
    return carriedBytes >= 0 && carriedBytes <= syn.payload.length ? syn : null;
  }

  /** Deletes SYNs that nobody will answer any more. */
  tick(nowUs: number): void {
    for (const [key, { timeUs }] of this.syns) {
      if (nowUs - timeUs <= HALF_OPEN_EXPIRY_US) break;
      this.syns.delete(key);
    }
  }
}
