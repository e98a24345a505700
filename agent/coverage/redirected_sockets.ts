/**
 * Finds connections that a namespace redirects to one of its own programs, such as a sidecar, where the kernel does
 * not report connections. When the program sends a request on, the sockets of its namespace are listed: whoever asked
 * it waits for the answer, so its socket is still there.
 *
 * The kernel may record connections: those that have ended since are reported, too, because packets may be handled when
 * the answer has come.
 *
 * Our own namespace is left out. Its table may have thousands of sockets.
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Attributor, KernelConnection, RecordedConnection } from '../attribution/attributor.ts';
import type { SocketOwner } from '../attribution/owner.ts';
import { type FlowTuple, keyOf } from '../flow.ts';

const MAX_NAMESPACES = 256;

export interface RedirectedSocketsOptions {
  attributor: Pick<Attributor, 'ownerOf' | 'connectionsIn'>;
  /** Our own network namespace. */
  netns: number;
  /** Returns the sockets to endpoints in the namespace at `path`. Throws if they cannot be listed. */
  socketsAt(netns: number, path: string): FlowTuple[];
  /** Learns of a socket of which no packet may have been seen. */
  onSocket(connection: KernelConnection, path: string): void;
  onClosed(netns: number, tuple: FlowTuple): void;
}

export class RedirectedSockets {
  readonly #options: RedirectedSocketsOptions;
  /** The sockets that were reported, by namespace and tuple; least recently listed namespace first. */
  readonly #reported = new Map<number, Map<string, FlowTuple>>();
  /** Recorded connections that were reported; whether they were open when that was said last. */
  readonly #recorded = new WeakMap<RecordedConnection, { wasOpen: boolean }>();

  constructor(options: RedirectedSocketsOptions) {
    this.#options = options;
  }

  /**
   * Reports the other sockets in the namespace of a program that sends a request on a connection, and those that have
   * closed since.
   */
  find({ pid, netns }: Pick<SocketOwner, 'pid' | 'netns'>, sent: FlowTuple): void {
    if (netns === null || netns === this.#options.netns) return;
    const path = `/proc/${pid}/ns/net`;
    const recorded = this.#reportRecorded(netns, sent, path);
    let sockets: FlowTuple[];
    try {
      sockets = this.#options.socketsAt(netns, path);
    } catch {
      return; // the program has ended, and its call is its own
    }
    const before = this.#reported.get(netns) ?? new Map<string, FlowTuple>();
    const now = new Map(
      sockets.flatMap((tuple) => (recorded.has(keyOf(tuple)) ? [] : [[keyOf(tuple), tuple] as const])),
    );
    for (const [key, tuple] of before) if (!now.has(key)) this.#options.onClosed(netns, tuple);
    this.#reported.delete(netns);
    this.#reported.set(netns, now);
    deleteOldestEntries(this.#reported, MAX_NAMESPACES);
    for (const [key, tuple] of now) {
      if (before.has(key)) continue;
      if (key === keyOf(sent)) now.delete(key);
      else this.#options.onSocket(this.#connection(tuple, netns), path);
    }
  }

  /** Reports what is new of the recorded connections; returns the keys of all of them. */
  #reportRecorded(netns: number, sent: FlowTuple, path: string): Set<string> {
    const { attributor, onClosed, onSocket } = this.#options;
    const keys = new Set<string>();
    for (const connection of attributor.connectionsIn?.(netns) ?? []) {
      const { tuple, isOpen } = connection;
      const key = keyOf(tuple);
      keys.add(key);
      const before = this.#recorded.get(connection);
      if (before === undefined) {
        if (key === keyOf(sent)) continue;
        this.#recorded.set(connection, { wasOpen: isOpen });
        onSocket(this.#connection(tuple, netns, connection), path);
      } else if (before.wasOpen && !isOpen) {
        before.wasOpen = false;
        onClosed(netns, tuple);
      }
    }
    return keys;
  }

  #connection(tuple: FlowTuple, netns: number, recorded: RecordedConnection | null = null): KernelConnection {
    return {
      ...{ kind: 'established', tuple, netns, initialSequence: 0 },
      owner: () => (recorded === null ? this.#options.attributor.ownerOf(tuple, false) : recorded.owner),
      threadId: () => null,
      isOpen: () => recorded === null || recorded.isOpen,
    };
  }
}
