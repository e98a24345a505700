/** Has what the senders of alerts and of streams to one HTTP destination share. */
import type { Resolve } from '../guarded_connect.ts';
import { HttpExchange } from './http_exchange.ts';
import type { PreparedRequest } from './prepared.ts';

export abstract class HttpDestination {
  protected readonly prepared: PreparedRequest;
  protected readonly exchange: HttpExchange;

  /** `now`: milliseconds since 1970. */
  protected constructor(prepared: PreparedRequest, resolve: Resolve, now: () => number) {
    this.prepared = prepared;
    this.exchange = new HttpExchange(prepared, resolve, now);
  }

  /** Texts that must be in no error, log or answer, the longest first. */
  get secrets(): readonly string[] {
    return this.prepared.secrets;
  }

  /** Records that one request can have. */
  get maxItems(): number {
    const { batch } = this.prepared;
    return batch.form === 'single' ? 1 : batch.max_items;
  }

  /** Closes connections that are kept. */
  close(): void {
    this.exchange.close();
  }
}
