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
 *
 * A connection that is older than the watch shows no SYN. Its first segment with data is recognised instead, and
 * its copy counts as one only when the service was seen to send the same bytes in both.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Connection } from './connection.ts';
import type { EndedConnection } from './ended_connection.ts';
import { FIRST_COPY_WINDOW_US, IDLE_EXPIRY_US } from './limits.ts';
import { ACK, FIN, RST, type Segment, SYN } from './segment.ts';
import { seqDistance } from './sequence.ts';
import { withoutSegmentSize } from './tcp_options.ts';

export interface Copy {
  /** The key of the connection under its caller's own addresses. */
  originalKey: string;
  /** The client's initial sequence number; null if the connection is older than the watch. */
  isn: number | null;
  /** The reason to believe that both are one connection: their handshakes, or the answers if the watch is younger. */
  proof: 'handshake' | 'answers_awaited' | 'answers';
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
  /** The fingerprint of the first segment that was seen of each recent connection. */
  private readonly recentFirsts = new Map<string, { key: string; timeUs: number }>();
  private readonly copies = new Map<string, Copy>();
  /** Keys of copies that began with `answers_awaited`. There are few at a time, and those that are settled are deleted. */
  private readonly unproven = new Set<string>();
  /** Keys of copies with segments that wait; those that wait no longer are deleted when they are asked for. */
  private readonly holding = new Set<string>();

  constructor(maxEntries: number) {
    this.maxEntries = maxEntries;
  }

  /** Returns the key of the connection whose first segment this is a copy of. Else keeps the segment and returns null. */
  originalOf(key: string, segment: Segment): string | null {
    const fingerprint = fingerprintOf(segment);
    const original = this.recentFirsts.get(fingerprint);
    if (
      original !== undefined &&
      original.key !== key &&
      Math.abs(segment.timeUs - original.timeUs) <= FIRST_COPY_WINDOW_US
    ) {
      return original.key;
    }
    this.recentFirsts.delete(fingerprint);
    this.recentFirsts.set(fingerprint, { key, timeUs: segment.timeUs });
    deleteOldestEntries(this.recentFirsts, this.maxEntries);
    return null;
  }

  /** Forgets the connection that showed this first segment: another one that shows it is no copy. */
  forgetFirst(segment: Segment): void {
    this.recentFirsts.delete(fingerprintOf(segment));
  }

  /** Adds a copy that begins with this segment: its SYN, or the first bytes that were seen of it. */
  addCopy(key: string, originalKey: string, { seq, flags, timeUs, payload }: Segment): void {
    this.copies.delete(key);
    const isSyn = (flags & SYN) !== 0;
    this.copies.set(key, {
      originalKey,
      isn: isSyn ? seq : null,
      proof: isSyn ? 'handshake' : 'answers_awaited',
      sinceUs: timeUs,
      lastUs: timeUs,
      serverStart: null,
      waiting: [],
      clientEnd: isSyn ? (seq + 1 + payload.length) >>> 0 : seq,
    });
    deleteOldestEntries(this.copies, this.maxEntries);
    if (!isSyn) this.unproven.add(key);
  }

  /** Returns the keys of the copies of this connection whose answers were not seen on it yet. */
  unprovenCopiesOf(originalKey: string): string[] {
    this.deleteSettled();
    return [...this.unproven].filter((key) => this.copies.get(key)?.originalKey === originalKey);
  }

  /** Returns the keys of copies with segments that wait for the original's. */
  waitingKeys(): string[] {
    for (const key of this.holding)
      if ((this.copies.get(key)?.waiting.length ?? 0) === 0) this.holding.delete(key);
    return [...this.holding];
  }

  /** Lets a segment of a copy wait for the original's. */
  hold(key: string, copy: Copy, segment: Segment): void {
    copy.waiting.push(segment);
    this.holding.add(key);
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
    original: Connection<Context> | EndedConnection<Context> | undefined,
    serverStart: number | null,
  ): 'same' | 'differs' | 'ahead' {
    const { flags, payload } = segment;
    copy.lastUs = Math.max(copy.lastUs, segment.timeUs);
    if (!fromClient && (flags & (SYN | ACK | RST)) === (SYN | ACK)) {
      copy.serverStart ??= (segment.seq + 1) >>> 0;
    }
    if (copy.proof === 'answers_awaited') return 'ahead';
    const { serverStart: ownStart, proof } = copy;
    if (proof === 'handshake' && ownStart !== null && serverStart !== null && ownStart !== serverStart)
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
    for (const [first, { timeUs }] of this.recentFirsts) {
      if (nowUs - timeUs <= FIRST_COPY_WINDOW_US) break;
      this.recentFirsts.delete(first);
    }
    for (const [key, { lastUs }] of this.copies) {
      if (nowUs - lastUs <= IDLE_EXPIRY_US) break;
      this.copies.delete(key);
    }
    this.deleteSettled();
  }

  private deleteSettled(): void {
    for (const key of this.unproven)
      if (this.copies.get(key)?.proof !== 'answers_awaited') this.unproven.delete(key);
  }
}

/**
 * Settles what a copy without a handshake is: one segment of the service that waits on it was seen on the original
 * too. Nobody but the service knows its sequence numbers and bytes before it sends them.
 */
export function proveByAnswers<Context>(copy: Copy, original: Connection<Context> | undefined): void {
  if (copy.proof !== 'answers_awaited' || original === undefined) return;
  const isSame = ({ sourceAddress, sourcePort, seq, payload }: Segment) =>
    payload.length > 0 &&
    sourceAddress === original.tuple.remoteAddress &&
    sourcePort === original.tuple.remotePort &&
    original.compareServer(seq, payload) === 'same';
  if (copy.waiting.some(isSame)) copy.proof = 'answers';
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

/** Returns what survives translation of the first segment of a connection. The payload is compared elsewhere. */
function fingerprintOf({ flags, seq, ack, window, destinationAddress, options, payload }: Segment): string {
  const place = (flags & SYN) !== 0 ? `${seq}` : `${seq}|${ack}|${payload.length}`;
  const kept = Buffer.from(withoutSegmentSize(options)).toString('latin1');
  // A template makes a tree of its parts, which the table would keep.
  return [place, window, destinationAddress, kept].join('|');
}
