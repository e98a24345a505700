/**
 * Holds namespaces open while it is undecided whether a capture saw a connection in them: the process of the
 * connection may end meanwhile, and the namespace could not be entered any more.
 */
import type { KernelConnection } from '../attribution/attributor.ts';
import { HeldNamespace } from '../linux/network_namespaces.ts';

/** The most namespaces that are held open at one time. */
const MAX_HELD = 64;

export class HeldNamespaces {
  readonly #held = new Map<number, { namespace: HeldNamespace; connections: number }>();

  /** Holds the namespace of a connection until `release` is called as often. */
  hold(connection: KernelConnection): void {
    const known = this.#held.get(connection.netns);
    if (known !== undefined) {
      known.connections++;
      return;
    }
    if (this.#held.size >= MAX_HELD) return;
    const namespace = openNamespaceOf(connection);
    if (namespace !== null) this.#held.set(connection.netns, { namespace, connections: 1 });
  }

  release({ netns }: KernelConnection): void {
    const known = this.#held.get(netns);
    if (known === undefined || --known.connections > 0) return;
    known.namespace.close();
    this.#held.delete(netns);
  }

  /** Returns a path into a namespace that is held. */
  pathOf(netns: number): string | undefined {
    return this.#held.get(netns)?.namespace.path;
  }

  close(): void {
    for (const { namespace } of this.#held.values()) namespace.close();
    this.#held.clear();
  }
}

function openNamespaceOf(connection: KernelConnection): HeldNamespace | null {
  const pid = connection.owner()?.pid;
  if (pid === undefined) return null;
  const thread = connection.threadId() ?? pid;
  return (
    HeldNamespace.open(connection.netns, `/proc/${pid}/task/${thread}/ns/net`) ??
    HeldNamespace.open(connection.netns, `/proc/${pid}/ns/net`)
  );
}
