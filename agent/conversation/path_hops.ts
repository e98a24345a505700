/**
 * Measures from hop limits how many routers on this host stand between a client and the service. Each router that
 * forwards a packet lowers its hop limit by one, and the capture shows a packet before and behind each of them.
 */
import { seqDistance } from './sequence.ts';

/** Hop limits with which operating systems send: Linux and macOS 64, Windows 128, some others 255. */
const INITIAL_HOP_LIMITS = [64, 128, 255];
/** More routers than this on one host are not plausible: then a rule has rewritten the hop limit. */
const MAX_HOPS = 16;

export class PathHops {
  private highest = 0;
  private lowest = 256;
  private answerSeq: number | null = null;
  /** The lowest hop limit of the latest bytes of the service, and the most routers that bytes of it passed. */
  private answerLowest = 0;
  private hopsBack = 0;
  /**
   * The hop limit with which the latest bytes of the service reached the first interface that showed them; null
   * without any. For an answer to a token request it is `HttpPutResponseHopLimit` as it is set.
   */
  answerHopLimit: number | null = null;

  /** Adds a segment of the client, or of its translated copy. */
  addClientSegment(hopLimit: number): void {
    if (hopLimit > this.highest) this.highest = hopLimit;
    if (hopLimit < this.lowest) this.lowest = hopLimit;
  }

  /** Adds bytes of the service, of which the first has the sequence number `seq`. */
  addServerBytes(seq: number, hopLimit: number): void {
    const distance = this.answerSeq === null ? 1 : seqDistance(seq, this.answerSeq);
    if (distance < 0) return;
    this.answerHopLimit = distance > 0 ? hopLimit : Math.max(this.answerHopLimit ?? 0, hopLimit);
    this.answerLowest = distance > 0 ? hopLimit : Math.min(this.answerLowest, hopLimit);
    this.hopsBack = Math.max(this.hopsBack, this.answerHopLimit - this.answerLowest);
    this.answerSeq = seq;
  }

  /**
   * Returns how many routers of this host are between the client and the service; null if that cannot be told. The
   * answer to a token request needs a hop limit of one more to reach the client. The way back may be longer than the
   * way out (cilium/cilium#25232), so the longer one counts, as far as it was seen.
   */
  get hops(): number | null {
    const initial = INITIAL_HOP_LIMITS.find((limit) => limit >= this.highest);
    if (this.highest === 0 || initial === undefined) return null;
    const hops = Math.max(initial - this.lowest, this.hopsBack);
    return hops <= MAX_HOPS ? hops : null;
  }
}
