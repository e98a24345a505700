/**
 * Connections that this very process opens to the metadata service, told from everybody else's by the socket itself.
 *
 * With eBPF the kernel says which process opened a connection, and nothing here is asked. Without it, a connection is our
 * own if the socket that has its addresses is ours (by inode number) at the moment in which its SYN is handled. That binds
 * the sequence number of that SYN: a port that is used again begins with another one, and is somebody else's. Once our
 * socket has ended nothing more can become ours: a SYN of our own that is handled so late is counted as a call.
 */
import { fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type FlowTuple, keyOf } from '../flow.ts';

interface OwnSocket {
  inode: number;
  /** Of the SYN that was seen; null before. */
  initialSequence: number | null;
}

export class OwnCalls {
  readonly #open = new Map<string, OwnSocket>();

  /** Of a socket that was just told to connect to an address (not a name). */
  followSocket(socket: Socket, remoteAddress: string, remotePort: number): void {
    // Node connects in the next tick, and the kernel chooses the port there and then: before any packet can be handled.
    process.nextTick(() => {
      const { localAddress, localPort } = socket;
      const inode = inodeOf(socket);
      if (localAddress === undefined || localPort === undefined || inode === null || socket.destroyed) return;
      const key = keyOf({ localAddress, localPort, remoteAddress, remotePort });
      const own: OwnSocket = { inode, initialSequence: null };
      this.#open.set(key, own);
      socket.once('close', () => {
        if (this.#open.get(key) === own) this.#open.delete(key);
      });
    });
  }

  /**
   * Whether the connection that begins with this SYN is our own. `inodeNow`: inode number of the socket that has this
   * tuple at this moment in our network namespace; null when there is none.
   */
  matchConnection(tuple: FlowTuple, initialSequence: number, inodeNow: () => number | null): boolean {
    const own = this.#open.get(keyOf(tuple));
    if (own === undefined) return false;
    if (own.initialSequence !== null) return own.initialSequence === initialSequence;
    if (inodeNow() !== own.inode) return false;
    own.initialSequence = initialSequence;
    return true;
  }
}

/** Node does not offer the descriptor of a socket; without it nothing is taken for our own. */
function inodeOf(socket: Socket): number | null {
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return null;
  try {
    return fstatSync(handle.fd).ino;
  } catch {
    return null;
  }
}
