/** The signs that a connection ends (a reset, the client's FIN), and those that it goes on all the same. */
import type { ConnectionCounters } from './counters.ts';
import { CLOSE_LINGER_US, RESET_LINGER_US } from './limits.ts';
import { WINDOW_BYTES } from './reassembly.ts';
import type { Remains } from './remains.ts';
import { seqDistance } from './sequence.ts';

/** Ends of ignored segments that are kept, in case the service acknowledges them. */
const MAX_IGNORED = 16;

export class ConnectionEnd {
  private readonly counters: ConnectionCounters;
  private resetUs: number | null = null;
  private clientFinUs: number | null = null;
  /**
   * An acknowledgement of bytes behind these places means that the connection did not end where we believed.
   */
  private clientEdge: number | null = null;
  private serverEdge: number | null = null;
  private readonly ignoredEnds: number[] = [];
  /** The service acknowledged bytes that we had ignored: our view of this connection is wrong. */
  isContradicted = false;

  constructor(counters: ConnectionCounters) {
    this.counters = counters;
  }

  /** Returns whether a reset or the client's FIN was seen. */
  get isNear(): boolean {
    return this.resetUs !== null || this.clientFinUs !== null;
  }

  get wasReset(): boolean {
    return this.resetUs !== null;
  }

  /** Returns the outcome of the connection if its end is certain by now, else null. */
  dueOutcome(nowUs: number, lastSegmentUs: number): 'reset' | 'unanswered' | null {
    if (this.resetUs !== null && nowUs - this.resetUs >= RESET_LINGER_US) return 'reset';
    if (this.clientFinUs === null) return null;
    return nowUs - Math.max(this.clientFinUs, lastSegmentUs) >= CLOSE_LINGER_US ? 'unanswered' : null;
  }

  /** Learns that the connection went on after we believed that it had ended. */
  continueAfter({ clientEnd, serverEnd }: Remains): void {
    // A FIN counts one, and may be acknowledged once more.
    if (clientEnd !== null) this.clientEdge = (clientEnd + 1) >>> 0;
    if (serverEnd !== null) this.serverEdge = (serverEnd + 1) >>> 0;
  }

  /**
   * `clientHighest` and `serverHighest`: sequence numbers behind the last bytes that were seen of each side.
   */
  handleReset(timeUs: number, clientHighest: number | null, serverHighest: number | null): void {
    if (this.resetUs !== null) return;
    this.resetUs = timeUs;
    this.counters.resets++;
    this.clientEdge = clientHighest;
    this.serverEdge = serverHighest;
  }

  handleClientFin(timeUs: number): void {
    this.clientFinUs ??= timeUs;
  }

  /** Adds the end of a segment of the client that we ignored. */
  addIgnored(end: number): void {
    this.ignoredEnds.push(end);
    if (this.ignoredEnds.length > MAX_IGNORED) this.ignoredEnds.shift();
  }

  /**
   * Returns whether bytes lie behind a FIN: either the FIN did not reach its receiver, or these bytes do not.
   */
  isBehindFin(finSeq: number | null, bytesEnd: number, fromClient: boolean): boolean {
    if (finSeq === null) return false;
    const distance = seqDistance(bytesEnd, finSeq);
    if (distance <= 0 || distance > WINDOW_BYTES) return false;
    const edge = (finSeq + 1) >>> 0;
    if (fromClient) {
      this.clientEdge ??= edge;
      this.clientFinUs = null;
    } else {
      this.serverEdge ??= edge;
    }
    return true;
  }

  /**
   * Checks whether an acknowledgement contradicts our view. `clientNext`: the next byte of the client to
   * deliver.
   */
  checkAcknowledgement(ack: number, fromClient: boolean, clientNext: number | null): void {
    const edge = fromClient ? this.serverEdge : this.clientEdge;
    if (edge !== null) {
      const distance = seqDistance(ack, edge);
      if (distance > 0 && distance < WINDOW_BYTES) {
        this.counters.segments_after_end++;
        this.clientEdge = null;
        this.serverEdge = null;
        this.resetUs = null;
      }
    }
    if (fromClient || this.isContradicted || clientNext === null) return;
    const isFar = Math.abs(seqDistance(ack, clientNext)) > WINDOW_BYTES;
    this.isContradicted = isFar || this.ignoredEnds.includes(ack);
    if (this.isContradicted) this.counters.contradicted_connections++;
  }
}
