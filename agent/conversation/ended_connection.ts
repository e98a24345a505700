/**
 * Holds what is kept of a connection that ended, to recognise copies of it behind address translation: its client's
 * bytes and the service's first sequence number. A whole connection takes ten times as much memory.
 */
import type { Comparison, DeliveredBytes } from './delivered_bytes.ts';

export class EndedConnection<Context> {
  readonly context: Context;
  readonly lastUs: number;
  /** See `Connection.serverStart`. */
  readonly serverStart: number | null;
  private readonly sent: DeliveredBytes;

  constructor(context: Context, lastUs: number, serverStart: number | null, sent: DeliveredBytes) {
    this.context = context;
    this.lastUs = lastUs;
    this.serverStart = serverStart;
    this.sent = sent;
  }

  /** See `Connection.compareClient`. */
  compareClient(seq: number, bytes: Uint8Array): Comparison {
    return this.sent.compare(seq, bytes);
  }

  /** See `Connection.compareClientAhead`: nothing comes behind the end of a connection. */
  compareClientAhead(seq: number, bytes: Uint8Array): 'same' | 'differs' {
    return this.sent.compare(seq, bytes) === 'same' ? 'same' : 'differs';
  }

  /** Deletes the client's bytes. */
  discard(): void {
    this.sent.discard();
  }
}
