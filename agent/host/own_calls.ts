/**
 * Recognises, by their sockets, the connections that this process opens to the metadata service.
 *
 * With eBPF the kernel reports which process opened a connection, and this module is not used. Without it, a
 * connection is the agent's own if the socket with its addresses is the agent's (by inode number) at the
 * moment in which its SYN is handled. From then on the sequence number of that SYN identifies it: a later
 * connection with the same port begins with another one. After the agent's socket has ended, no connection
 * matches it: a SYN of the agent that is handled so late is counted as a call.
 */
import { fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import { type FlowTuple, keyOf } from '../flow.ts';

interface OwnSocket {
  inode: number;
  /** Sequence number of its SYN; null before that was seen. */
  initialSequence: number | null;
}

export class OwnCalls {
  readonly #open = new Map<string, OwnSocket>();

  /** Takes note of a socket for which `connect` to an address (not a name) was just called. */
  followSocket(socket: Socket, remoteAddress: string, remotePort: number): void {
    // Node connects in the next tick, and the kernel chooses the port there and then: before any packet can
    // be handled.
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
   * Returns true if the connection that begins with this SYN is the agent's own. `inodeNow` returns the inode
   * number of the socket that has this tuple now in the agent's network namespace; null when there is none.
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

/**
 * Returns null where Node does not give the descriptor of a socket: then no connection counts as the agent's
 * own.
 */
function inodeOf(socket: Socket): number | null {
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return null;
  try {
    return fstatSync(handle.fd).ino;
  } catch {
    return null;
  }
}
