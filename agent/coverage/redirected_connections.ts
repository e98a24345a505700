/**
 * Finds the connections that the kernel redirected to a program on this host, so that none of their packets carries
 * the endpoint's address. To ask the kernel costs a system call, and nearly every connection that it reports is
 * captured a moment later. So it is asked only for connections of which no packet was seen, and only when the answer
 * matters: a program sends a request that may be another one's, or the connection is about to count as missed.
 */
import type { KernelConnection } from '../attribution/attributor.ts';

export class RedirectedConnections {
  readonly #ask: (connection: KernelConnection) => boolean;
  /** Connections of which no packet was seen so far, and that were not asked about. */
  readonly #unasked = new Set<KernelConnection>();
  readonly #redirected = new Set<KernelConnection>();

  /** `ask` returns whether the kernel redirected a connection, and records whose it is. */
  constructor(ask: (connection: KernelConnection) => boolean) {
    this.#ask = ask;
  }

  /** Adds a connection of which no packet was seen so far. */
  add(connection: KernelConnection): void {
    if (connection.kind === 'established') this.#unasked.add(connection);
  }

  /**
   * Asks about every connection that was established until a time and of which no packet was seen. All packets until
   * then must have been read: those of a later connection may wait in the capture's queue.
   */
  askUntil(timeUs: number): void {
    for (const connection of this.#unasked) {
      const { reportedUs } = connection;
      if (reportedUs === undefined || reportedUs <= timeUs) this.isRedirected(connection);
    }
  }

  isRedirected(connection: KernelConnection): boolean {
    if (this.#unasked.delete(connection) && this.#ask(connection)) this.#redirected.add(connection);
    return this.#redirected.has(connection);
  }

  /** Removes a connection about which everything is decided. */
  delete(connection: KernelConnection): void {
    this.#unasked.delete(connection);
    this.#redirected.delete(connection);
  }
}
