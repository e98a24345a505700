/**
 * Adds to a call who answered it and which relay sent it on: joins the packets that were seen, the kernel's
 * translation and the sockets of relays. Without access to the kernel (a capture file) it decides by the
 * packets alone.
 */
import type { Call } from '../protocol/call.ts';
import { type Answerer, answererOf, type ConnectionEnd } from './attribution/answerer.ts';
import type { KernelConnection } from './attribution/attributor.ts';
import type { SocketOwner } from './attribution/owner.ts';
import type { Relayed, Relays } from './attribution/relays.ts';
import type { NamespaceRef, Translations } from './attribution/translations.ts';
import type { ConnectionContext } from './connection_context.ts';
import type { Exchange, ExchangeRequest } from './conversation/exchange.ts';
import type { FlowTuple } from './flow.ts';
import { UserNetworkCalls } from './user_network_calls.ts';

/** The kernel's answers about where connections end. */
export interface KernelRoutes {
  translations: Translations;
  relays: Relays<ConnectionContext>;
  /** Returns a path into a captured namespace; null if there is none any more. */
  namespacePath(netns: number): string | null;
  /**
   * Passes every connection of which no packet was seen, and that `sender` may have accepted before it sent a request on
   * `tuple`, to `CallAnswerer.noteRedirected`.
   */
  findRedirected(untilUs: number, sender: SocketOwner, tuple: FlowTuple): void;
  /** Returns whether another network namespace than ours is captured now. */
  capturesOthers(): boolean;
}

type AnswererFields = Pick<Call, 'answered_by' | 'answered_by.evidence' | 'answered_by.confidence'>;
type RelayFields = Pick<Call, 'via' | 'caller.role'>;

export class CallAnswerer {
  readonly #routes: KernelRoutes | null;
  readonly #isEndpoint: (address: string) => boolean;
  readonly userNetworks = new UserNetworkCalls<ConnectionContext>();

  constructor(routes: KernelRoutes | null, isEndpoint: (address: string) => boolean) {
    this.#routes = routes;
    this.#isEndpoint = isEndpoint;
  }

  /**
   * Records a connection that the kernel reported and whose packets the capture does not see, if the kernel of
   * its namespace has rewritten its destination: a relay on this host is its other end. Returns whether that
   * is so. It is so, too, where the namespace has the endpoint's address itself. `describe` returns the caller as the relay's calls are to name it.
   */
  noteRedirected(
    connection: KernelConnection,
    where: NamespaceRef,
    timeUs: number,
    describe: () => ConnectionContext,
  ): boolean {
    if (this.#routes === null) return false;
    const { translations, relays } = this.#routes;
    const answer = translations.translationOf(where, connection.tuple);
    if (answer.kind !== 'translated')
      return translations.isLocalAddress(where, connection.tuple.remoteAddress);
    if (this.#isEndpoint(answer.server.localAddress)) return false;
    const owner = connection.owner();
    // The program may have ended before the relay's call is complete, so it is described now.
    if (owner !== null) {
      relays.addTranslated(describe(), owner, connection.tuple, where, answer.server, null, timeUs);
      if (!connection.isOpen()) relays.closeConnection(where.netns, connection.tuple, timeUs);
    }
    return true;
  }

  /** Learns from the kernel that a socket to an endpoint has ended. */
  socketClosed(netns: number, tuple: FlowTuple, timeUs: number): void {
    this.#routes?.relays.closeConnection(netns, tuple, timeUs);
  }

  /**
   * Finds out, while both wait for the answer, whether the request ends at a relay on this host, and whether
   * its sender is a relay.
   */
  findRelay(tuple: FlowTuple, context: ConnectionContext, request: ExchangeRequest, startUs: number): void {
    context.relayed = null;
    if (this.#routes === null) return;
    const { owner } = context;
    const { relays } = this.#routes;
    this.#answererOf(context, tuple);
    if (owner === null) return;
    const facts = factsOf(request);
    // A program connects to a relay before the relay sends its request on.
    this.#routes.findRedirected(startUs, owner, tuple);
    context.relayed = firstCaller(relays.callerOf(owner, context, facts, startUs));
    // A relay may be the client of another one: a sidecar calls, and the node's proxy sends that on.
    const { translation } = context;
    if (translation?.answer.kind === 'translated') {
      const where = { netns: translation.netns, path: this.#routes.namespacePath(translation.netns) };
      relays.addTranslated(context, owner, tuple, where, translation.answer.server, facts, startUs);
    } else if (this.mayEnterUserNetwork(context)) {
      context.heldRequests.push(this.userNetworks.addMade(context, facts, startUs));
    } else if (
      // The program behind a user-mode network is seen only by a capture in its own namespace. Without one, the
      // descriptors of each new process would be read for nothing.
      this.#routes.capturesOthers() &&
      context.relayed === null &&
      owner.netns === this.#routes.translations.ownNetns &&
      relays.isUserNetwork(owner)
    ) {
      context.heldRequests.push(this.userNetworks.addSent(context, facts, startUs));
    }
  }

  /**
   * Returns whether a relay has sent the request on. The relay's call has the same method, target and token
   * header, so that nothing is hidden: one call of the same version stays.
   */
  wasRelayed(tuple: FlowTuple, context: ConnectionContext): boolean {
    if (this.#routes === null || context.owner === null) return false;
    const { relays } = this.#routes;
    if (context.translation?.answer.kind !== 'translated') return false;
    const wasSentOn = relays.endRequest(context.translation.netns, tuple);
    return wasSentOn && this.#answererOf(context, tuple).by === 'host';
  }

  answererFields(tuple: FlowTuple, context: ConnectionContext, { response }: Exchange): AnswererFields {
    const { by, evidence } = this.#answererOf(context, tuple);
    const signs = [evidence === 'departure', response?.namesService === true].filter(Boolean).length;
    const confidence = by === 'host' ? 'exact' : (['none', 'probable', 'exact'] as const)[signs]!;
    return { answered_by: by, 'answered_by.evidence': evidence, 'answered_by.confidence': confidence };
  }

  /** Returns whether the caller is known to send the requests of several other programs on. */
  isRelay({ owner }: ConnectionContext): boolean {
    const kind = owner === null ? null : (this.#routes?.relays.knownKind(owner) ?? null);
    return kind !== null && kind !== 'user_network';
  }

  relayFields({ owner, process, relayed }: ConnectionContext, { request }: Exchange): RelayFields {
    if (this.#routes === null || owner === null) return { via: null, 'caller.role': null };
    // A proxy says in a header that it sends on another program's request (RFC 9110, section 7.6.3; RFC 7239).
    const isRelay = request.relayedFor != null || this.#routes.relays.knownKind(owner) !== null;
    if (relayed === null || process === null) return { via: null, 'caller.role': isRelay ? 'relay' : null };
    const via = {
      kind: relayed.kind,
      pid: process.pid,
      name: process.name,
      'executable.path': process['executable.path'],
      script: process.script,
      'owner.uid': process['owner.uid'],
    };
    return { via, 'caller.role': null };
  }

  /** Records for whom a user-mode network sent the request of `sentRequest`. */
  nameUserNetwork(context: ConnectionContext, caller: ConnectionContext): void {
    context.relayed = firstCaller({ caller, kind: 'user_network', isOnly: true });
    if (context.owner !== null) this.#routes?.relays.recordRelay(context.owner, 'user_network');
  }

  /** Returns whether the packets left one other namespace and were seen nowhere behind it. */
  mayEnterUserNetwork({ owner, places, isCopied }: ConnectionContext): boolean {
    const [only, ...others] = places;
    return (
      this.#routes !== null &&
      only !== undefined &&
      others.length === 0 &&
      !isCopied &&
      only.left &&
      only.netns !== this.#routes.translations.ownNetns &&
      only.netns === owner?.netns &&
      this.#routes.translations.hasTunnel({ netns: only.netns, path: this.#routes.namespacePath(only.netns) })
    );
  }

  #answererOf(context: ConnectionContext, tuple: FlowTuple): Answerer {
    // Some packets of a connection that was joined midway were not seen: they may have left.
    if (context.initialSequence === null) return { by: 'service', evidence: 'none' };
    return answererOf(context.places, context.isCopied, (netns) => this.#endIn(netns, context, tuple));
  }

  /** Asks the kernel once per connection where it ends. */
  #endIn(netns: number, context: ConnectionContext, tuple: FlowTuple): ConnectionEnd {
    if (this.#routes === null) return 'unknown';
    const { translations, namespacePath } = this.#routes;
    if (context.translation?.netns !== netns) {
      const where = { netns, path: namespacePath(netns) };
      const answer = translations.translationOf(where, tuple);
      const isAway = answer.kind === 'translated' && !this.#isEndpoint(answer.server.localAddress);
      context.translation = { netns, answer: isAway ? answer : { kind: 'untranslated' } };
      context.endsInHostSocket =
        !isAway &&
        netns === translations.ownNetns &&
        (translations.socketInode(where, reversed(tuple)) !== null ||
          // The socket may have ended before its packets are handled. An address of our own has no other end.
          translations.isLocalAddress(where, tuple.remoteAddress));
    }
    if (context.translation.answer.kind === 'translated') return 'translated';
    return context.endsInHostSocket ? 'socket' : 'unknown';
  }
}

/** Returns for whom the first of several relays called. */
function firstCaller(relayed: Relayed<ConnectionContext> | null): Relayed<ConnectionContext> | null {
  const before = relayed?.caller.relayed ?? null;
  if (relayed === null || before === null) return relayed;
  return { caller: before.caller, kind: relayed.kind, isOnly: relayed.isOnly && before.isOnly };
}

function factsOf({ method, path, query, userAgent, hasToken }: ExchangeRequest) {
  return { method, path, query, userAgent, hasToken };
}

/** Returns the tuple of the other end of a connection. */
function reversed({ localAddress, localPort, remoteAddress, remotePort }: FlowTuple): FlowTuple {
  return {
    localAddress: remoteAddress,
    localPort: remotePort,
    remoteAddress: localAddress,
    remotePort: localPort,
  };
}
