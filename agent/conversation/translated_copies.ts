/**
 * Recognises copies of connections behind address translation. A host that forwards a connection shows it
 * twice: with its caller's addresses and with its own. The sequence number, the window and all options but
 * the segment size survive translation, so a SYN is recognised. That alone is no proof, because a sender
 * chooses all of them. So a flow counts as a copy only as long as the service's sequence numbers and the
 * client's bytes are the same in both.
 *
 * Some hosts show a connection's answers on its copy only: the packets of a bridge pass the host's rules
 * there, so that the client's have the endpoint's address already, and the answers have it no more. Then the
 * copy's answers are those of the original, as far as they answer bytes that the copy was seen to send.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Connection } from './connection.ts';
import { IDLE_EXPIRY_US, SYN_COPY_WINDOW_US } from './limits.ts';
import { ACK, FIN, RST, type Segment, SYN } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { withoutSegmentSize } from './tcp_options.ts';

export interface Copy {
  /** The key of the connection under its caller's own addresses. */
  originalKey: string;
  isn: number;
  sinceUs: number;
  lastUs: number;
  /** The service's first sequence number; null until this flow's handshake shows it. */
  serverStart: number | null;
  /**
   * Segments from the first one on whose bytes the original has not shown yet. The captures of two network
   * namespaces are not read at the same time, so the original's may come later.
   */
  waiting: Segment[];
  /** Sequence number behind the bytes that this flow was seen to send without a hole; a FIN counts one. */
  clientEnd: number;
}

export class TranslatedCopies<Context> {
  private readonly maxEntries: number;
  /** The fingerprint of each recent SYN, with the connection that it opened. */
  private readonly recentSyns = new Map<string, { key: string; timeUs: number }>();
  private readonly copies = new Map<string, Copy>();

  constructor(maxEntries: number) {
    this.maxEntries = maxEntries;
  }

  /** Returns the key of the connection whose SYN this is a copy of. Else keeps the SYN and returns null. */
  originalOf(key: string, segment: Segment): string | null {
    const options = withoutSegmentSize(segment.options);
    const fingerprint = `${segment.seq}|${segment.window}|${segment.destinationAddress}|${Buffer.from(options).toString('latin1')}`;
    const original = this.recentSyns.get(fingerprint);
    if (
      original !== undefined &&
      original.key !== key &&
      Math.abs(segment.timeUs - original.timeUs) <= SYN_COPY_WINDOW_US
    ) {
      return original.key;
    }
    this.recentSyns.delete(fingerprint);
    this.recentSyns.set(fingerprint, { key, timeUs: segment.timeUs });
    deleteOldestEntries(this.recentSyns, this.maxEntries);
    return null;
  }

  addCopy(key: string, originalKey: string, { seq, timeUs, payload }: Segment): void {
    this.copies.delete(key);
    const clientEnd = (seq + 1 + payload.length) >>> 0;
    const times = { sinceUs: timeUs, lastUs: timeUs };
    this.copies.set(key, { originalKey, isn: seq, ...times, serverStart: null, waiting: [], clientEnd });
    deleteOldestEntries(this.copies, this.maxEntries);
  }

  /** Returns the keys of copies with segments that wait for the original's. */
  waitingKeys(): string[] {
    return [...this.copies].flatMap(([key, { waiting }]) => (waiting.length > 0 ? [key] : []));
  }

  copyAt(key: string): Copy | undefined {
    return this.copies.get(key);
  }

  deleteCopy(key: string): void {
    this.copies.delete(key);
  }

  /**
   * Compares a segment of a copy with the original. Returns `differs` if the flow is no copy: its handshake
   * differs, or its client sends other bytes. `ahead`: the original has not shown these bytes. `serverStart` is the service's first sequence number in the
   * original.
   */
  acceptSegment(
    key: string,
    copy: Copy,
    segment: Segment,
    fromClient: boolean,
    original: Connection<Context> | undefined,
    serverStart: number | null,
  ): 'same' | 'differs' | 'ahead' {
    const { flags, payload } = segment;
    copy.lastUs = Math.max(copy.lastUs, segment.timeUs);
    if (!fromClient && (flags & (SYN | ACK | RST)) === (SYN | ACK)) {
      copy.serverStart ??= (segment.seq + 1) >>> 0;
    }
    if (copy.serverStart !== null && serverStart !== null && copy.serverStart !== serverStart)
      return 'differs';
    if (!fromClient) return 'same';
    if (payload.length === 0) {
      raiseClientEnd(copy, segment);
      return 'same';
    }
    const comparison = original === undefined ? 'ahead' : original.compareClientAhead(segment.seq, payload);
    if (comparison !== 'same') return comparison;
    raiseClientEnd(copy, segment);
    // The map's order is the order of last use.
    this.copies.delete(key);
    this.copies.set(key, copy);
    return 'same';
  }

  tick(nowUs: number): void {
    for (const [syn, { timeUs }] of this.recentSyns) {
      if (nowUs - timeUs <= SYN_COPY_WINDOW_US) break;
      this.recentSyns.delete(syn);
    }
    for (const [key, { lastUs }] of this.copies) {
      if (nowUs - lastUs <= IDLE_EXPIRY_US) break;
      this.copies.delete(key);
    }
  }
}

/**
 * Returns whether a segment of the service on a copy also answers the original: both have the same handshake,
 * and the copy was seen to send every byte that the segment acknowledges. The original's own answers must not
 * be visible.
 */
export function answersOriginal(
  { serverStart, clientEnd }: Copy,
  { flags, ack }: Segment,
  original: { readonly serverStart: number | null; readonly sawOwnAnswers: boolean },
): boolean {
  if ((flags & SYN) !== 0 || original.sawOwnAnswers) return false;
  if (serverStart === null || serverStart !== original.serverStart) return false;
  return (flags & ACK) === 0 || seqDistance(ack, clientEnd) <= 0;
}

function raiseClientEnd(copy: Copy, { flags, seq, payload, payloadCutBytes }: Segment): void {
  if ((flags & (SYN | RST)) !== 0 || payloadCutBytes > 0) return;
  const end = (seq + payload.length + ((flags & FIN) === 0 ? 0 : 1)) >>> 0;
  if (seqDistance(seq, copy.clientEnd) <= 0 && seqDistance(end, copy.clientEnd) > 0) copy.clientEnd = end;
}
