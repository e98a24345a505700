/**
 * Connections that this very process opens to the metadata service, so that they are told from everybody else's: by the
 * socket's own addresses, which hold in whatever pid namespace we are and whatever others send as their user agent.
 */
import type { Socket } from 'node:net';
import type { SocketTuple } from '../attribution/attributor.ts';

/** Packets of a connection that has ended may still wait in the capture's queue. */
const KEEP_CLOSED_MS = 10_000;

export class OwnCalls {
  readonly #sockets = new Map<string, { closedMs: number | null }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Of a socket that was just told to connect to an address (not a name). */
  follow(socket: Socket, remoteAddress: string, remotePort: number): void {
    // Node connects in the next tick, and the kernel chooses the port there and then: before any packet can be handled.
    process.nextTick(() => {
      const { localAddress, localPort } = socket;
      if (localAddress === undefined || localPort === undefined) return; // it could not even begin
      const key = keyOf({ localAddress, localPort, remoteAddress, remotePort });
      const entry: { closedMs: number | null } = { closedMs: null };
      this.#sockets.set(key, entry);
      const closed = () => {
        entry.closedMs = this.#now();
      };
      if (socket.destroyed) closed();
      else socket.once('close', closed);
    });
  }

  /** Asked when a connection is first seen. */
  has(tuple: SocketTuple): boolean {
    if (this.#sockets.size === 0) return false;
    this.#forget();
    return this.#sockets.has(keyOf(tuple));
  }

  #forget(): void {
    const before = this.#now() - KEEP_CLOSED_MS;
    for (const [key, { closedMs }] of this.#sockets) {
      if (closedMs !== null && closedMs < before) this.#sockets.delete(key);
    }
  }
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: SocketTuple): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
