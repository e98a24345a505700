/**
 * Builds calls: joins each exchange with the process that sent its request, decides its version, and waits
 * briefly for the name of its container.
 */
import type { Call, HostFacts, Opener, ProcessFacts } from '../protocol/call.ts';
import type { Endpoint } from '../protocol/endpoints.ts';
import type { Counters } from '../protocol/records.ts';
import { type Attributor, INFERENCE_DELAY_US, type KernelConnection } from './attribution/attributor.ts';
import type { SocketOwner } from './attribution/owner.ts';
import type { NamespaceRef } from './attribution/translations.ts';
import { CallAnswerer, type KernelRoutes } from './call_answerer.ts';
import { callId, timestampOf } from './call_id.ts';
import { type Client, keysOfRead, keysOfTokenRequest, processKeys } from './client_keys.ts';
import { type ConnectionContext, newContext } from './connection_context.ts';
import {
  asksForToken,
  type Classification,
  classify,
  classifyCredentialsEndpoint,
  isUnproven,
} from './conversation/classify.ts';
import type { Exchange, ExchangeRequest } from './conversation/exchange.ts';
import { type Fallback, FallbackWatch } from './conversation/fallback.ts';
import type { TrackerHooks } from './conversation/tracker.ts';
import { OpenCalls } from './coverage/open_calls.ts';
import type { FlowTuple } from './flow.ts';
import type { OwnCalls } from './host/own_calls.ts';
import type { ProcessIdentity } from './identity/process_identity.ts';
import type { WorkloadIdentity, WorkloadRef } from './identity/workload.ts';
import { OwnerlessCalls } from './ownerless_calls.ts';
import { RefusedReads } from './refused_reads.ts';
import { MASK } from './secrets/mask_shapes.ts';

export interface CallBuilderOptions {
  /** The watched endpoints, by their addresses. */
  endpoints: ReadonlyMap<string, Endpoint>;
  /** Finds and describes callers; null where packets do not come from this host. */
  attribution: {
    attributor: Attributor;
    identity: ProcessIdentity;
    workloads: WorkloadIdentity;
    /** Absent where nobody may ask the kernel where connections go. */
    routes?: KernelRoutes;
  } | null;
  host: HostFacts;
  /** `isProven` is false for a call that passes for IMDSv2 without proof; see `isUnproven`. */
  onCall: (call: Call, isProven: boolean) => void;
  /** Connections of this process. Its own requests are counted apart and are no calls. */
  ownCalls?: OwnCalls;
  /**
   * Called when the owner of a new connection was not found. Returns whether a second look-up may find it.
   */
  onOwnerMissing?: () => boolean;
}

/** Calls to other endpoints are always answered on the host. */
const NO_ANSWERER = { answered_by: null, 'answered_by.evidence': null, 'answered_by.confidence': null };
/** The time that a call waits for the name of its container. */
const NAMES_WAIT_MS = 250;

type CallWithoutWorkload = Omit<Call, 'container' | 'k8s' | 'systemd'>;
type AddressFields = Pick<
  Call,
  'imds.endpoint' | 'source.address' | 'source.port' | 'destination.address' | 'destination.port'
>;
type CallerFields = Pick<Call, 'process' | 'attribution.method' | 'attribution.confidence' | 'host'>;

export class CallBuilder implements TrackerHooks<ConnectionContext> {
  private readonly options: CallBuilderOptions;
  private readonly fallback = new FallbackWatch();
  private readonly answerer: CallAnswerer;
  private readonly open = new OpenCalls<ConnectionContext>();
  private readonly ownerless = new OwnerlessCalls();
  private readonly refused = new RefusedReads((startUs) => this.open.beginWait(startUs));
  /** Host facts that are added to every call from now on. */
  host: HostFacts;
  private readonly counts = {
    calls: 0,
    v1: 0,
    v2: 0,
    /** Requests without a token that look for another cloud: no use of IMDSv1. */
    other_cloud: 0,
    /** Calls to endpoints that have no versions. */
    unversioned: 0,
    answered: 0,
    unanswered: 0,
    reset: 0,
    truncated: 0,
    blocked: 0,
    /** Requests of this process, which count in none of the others. */
    own: 0,
    /**
     * Requests that a relay on this host sent on: its own call to the service is the one that counts. They
     * count in none of the others.
     */
    relayed: 0,
    /** Calls that something on this host answered. */
    answered_by_host: 0,
    attributed: 0,
    unattributed: 0,
    /** Calls for which the service's verdict differs from ours. */
    verdict_disagreements: 0,
    /** Calls read as IMDSv2, though the request is not plainly so and the service gave no verdict. */
    unproven: 0,
  };

  constructor(options: CallBuilderOptions) {
    this.options = options;
    this.host = options.host;
    const { attribution, endpoints } = options;
    this.answerer = new CallAnswerer(attribution?.routes ?? null, (address) => endpoints.has(address));
  }

  /** Makes the decisions that are due at this time. Returns whether some are still to come. */
  tick(nowUs: number): boolean {
    const isHolding = this.answerer.userNetworks.tick(nowUs);
    const isInferring = this.ownerless.tick(nowUs);
    return this.refused.tick(nowUs) || isHolding || isInferring;
  }

  /** Reports what waits for a decision as it stands. */
  finish(): void {
    this.answerer.userNetworks.finish();
    this.ownerless.finish();
    this.refused.finish();
  }

  /** Returns the number of calls that began and are not recorded yet. */
  get openCalls(): number {
    return this.open.count;
  }

  /** Returns when the oldest of them began, in microseconds since the Unix epoch; null if there is none. */
  get openSinceUs(): number | null {
    return this.open.sinceUs;
  }

  counters(): Counters {
    return { ...this.counts };
  }

  /** `timeUs`: time of the first segment that was seen, in microseconds since the Unix epoch. */
  connectionOpened(
    tuple: FlowTuple,
    atSyn: boolean,
    initialSequence: number | null,
    timeUs: number,
  ): ConnectionContext {
    const { attribution, onOwnerMissing, ownCalls } = this.options;
    const begunUs = atSyn ? timeUs : null;
    const context = newContext(null, initialSequence, begunUs);
    if (attribution === null) return context;
    const { attributor } = attribution;
    if (initialSequence !== null && ownCalls !== undefined && attributor.inodeOf !== undefined) {
      context.isOwn = ownCalls.matchConnection(tuple, initialSequence, () => attributor.inodeOf!(tuple));
      if (context.isOwn) return context;
    }
    context.owner = attributor.ownerOf(tuple, atSyn, context.initialSequence, begunUs);
    if (context.owner === null && attributor.namesAfterSyn !== true && onOwnerMissing?.()) {
      context.owner = attributor.ownerOf(tuple, atSyn, context.initialSequence, begunUs);
    }
    return context;
  }

  /** Reads at once what only /proc has about a process that begins to connect; see `Attributor.onUrgentOwner`. */
  prepareCaller(owner: SocketOwner): void {
    const { attribution } = this.options;
    attribution?.identity.prepare(owner);
    attribution?.workloads.begin(owner);
  }

  requestSeen(tuple: FlowTuple, context: ConnectionContext, request: ExchangeRequest, startUs: number): void {
    // /proc still has the caller while it waits for its answer.
    this.open.addRequest(context, startUs);
    const isOwn = context.isOwn && context.ownRequests === 0;
    if (!isOwn) this.identifySender(tuple, context, request);
    if (!isOwn && this.isImds(tuple)) this.answerer.findRelay(tuple, context, request, startUs);
    if (!isOwn && this.isImds(tuple) && asksForToken(request)) {
      const keys = keysOfTokenRequest(this.clientOf(tuple, context), request);
      context.tokenRequests.push(this.fallback.addTokenRequest(keys, startUs));
    }
  }

  clientClosed(context: ConnectionContext, timeUs: number, answerHopLimit: number | null): void {
    for (const request of context.tokenRequests) this.fallback.giveUp(request, timeUs, answerHopLimit);
  }

  exchangeCompleted(tuple: FlowTuple, context: ConnectionContext, exchange: Exchange): void {
    this.open.completeRequest(context);
    const at = context.heldRequests.findIndex(({ startUs }) => startUs === exchange.startUs);
    if (at < 0) {
      if (!this.completeLater(tuple, context, exchange)) this.completeCall(tuple, context, exchange);
      return;
    }
    const [held] = context.heldRequests.splice(at, 1);
    const endWait = this.open.beginWait(exchange.startUs);
    held!.whenDecided(() => {
      endWait();
      const partner = held!.partner?.caller ?? null;
      const isSentOn = partner !== null && !held!.isSent && this.answerer.mayEnterUserNetwork(context);
      if (isSentOn) {
        this.dismissTokenRequests(context);
        this.counts.relayed++;
      } else {
        if (partner !== null && held!.isSent) this.answerer.nameUserNetwork(context, partner);
        this.completeCall(tuple, context, exchange);
      }
    });
  }

  /**
   * Completes a call of which the caller was not found when the caller has had the time to end, and can be inferred. A
   * request for a token is never held: what its client does next depends on it. Returns false if the call is not held.
   */
  private completeLater(tuple: FlowTuple, context: ConnectionContext, exchange: Exchange): boolean {
    const canInfer = this.options.attribution?.attributor.inferOwner !== undefined;
    const { begunUs } = context;
    if (!canInfer || begunUs === null || context.isOwn || asksForToken(exchange.request)) return false;
    this.identifyCaller(tuple, context);
    if (context.owner !== null) return false;
    const endWait = this.open.beginWait(exchange.startUs);
    this.ownerless.add(begunUs + INFERENCE_DELAY_US, () => {
      endWait();
      context.owner ??= this.options.attribution!.attributor.inferOwner!(tuple, begunUs);
      this.completeCall(tuple, context, exchange);
    });
    return true;
  }

  private completeCall(tuple: FlowTuple, context: ConnectionContext, exchange: Exchange): void {
    const { request, response, outcome, startUs, responseUs } = exchange;
    const verdict = this.isImds(tuple) ? classify(exchange) : classifyCredentialsEndpoint(exchange);
    if (this.isOwnRequest(tuple, context, verdict.version)) {
      this.dismissTokenRequests(context);
      context.ownRequests++;
      this.counts.own++;
      return;
    }
    this.identifySender(tuple, context, request);
    if (this.answerer.wasRelayed(tuple, context)) {
      // The relay's own request says how this one ends.
      this.dismissTokenRequests(context);
      this.counts.relayed++;
      return;
    }
    const caller = context.relayed?.caller ?? context;
    const client = this.clientOf(tuple, context);
    const isOtherCloud = verdict.category === 'other-cloud';
    let fallback: Fallback | null = null;
    const isToken = verdict.kind === 'token';
    const keysOf = isToken ? keysOfTokenRequest : keysOfRead;
    const keys = verdict.version === null ? [] : keysOf(client, request);
    if (isToken) {
      this.endTokenRequest(context, exchange);
    } else if (verdict.version === 1 && verdict.kind === 'read' && !isOtherCloud) {
      fallback = this.fallback.fallbackOf(keys, startUs);
    }
    this.counts[counterOf(verdict)]++;
    if (verdict.serverVersion !== null && verdict.serverVersion !== verdict.version) {
      this.counts.verdict_disagreements++;
    }
    const isProven = verdict.version === null || !isUnproven(exchange, verdict);
    if (!isProven) this.counts.unproven++;
    const call: CallWithoutWorkload = {
      id: callId(startUs),
      time: timestampOf(startUs),
      'imds.version': verdict.version,
      'imds.kind': verdict.kind,
      'imds.category': verdict.category,
      'imds.role': verdict.role,
      'imds.server_version': verdict.serverVersion,
      'imds.fallback': fallback?.reason ?? null,
      'imds.hops': exchange.hops ?? null,
      'imds.token_hop_limit': fallback?.answerHopLimit ?? null,
      'http.request.method': request.method,
      'url.path': request.path,
      // The old form of ECS has its secret in the query: `/v1/credentials?id=<id>`.
      'url.query': verdict.version === null && request.query !== null ? MASK : request.query,
      'user_agent.original': request.userAgent,
      'http.response.status_code': response?.status ?? null,
      outcome,
      duration_ms: responseUs === null ? null : Math.max(0, responseUs - startUs) / 1_000,
      ...this.addressFields(tuple),
      ...this.answererFields(tuple, context, exchange),
      ...this.answerer.relayFields(context, exchange),
      ...this.callerFields(caller),
      ...connectionFields(caller),
      ...(context.relayed?.isOnly === false && { 'attribution.confidence': 'probable' as const }),
    };
    this.refused.judge(call, processKeys(client, keys), startUs, (judged) =>
      this.emitCall(judged, caller.workload, isProven, startUs),
    );
  }

  connectionClosed(tuple: FlowTuple, context: ConnectionContext): void {
    this.open.deleteConnection(context);
    this.options.attribution?.attributor.connectionClosed(tuple);
  }

  /**
   * Reports an attempt that the kernel saw and whose SYN never left the host: a firewall dropped it, for
   * example.
   */
  reportBlockedAttempt(connection: KernelConnection, timeUs: number): void {
    const context = newContext(connection.owner(), connection.initialSequence);
    if (this.options.ownCalls !== undefined && context.owner?.isSelf === true) {
      this.counts.own++;
      return;
    }
    this.describeOwner(context);
    this.emitCall(
      {
        id: callId(timeUs),
        time: timestampOf(timeUs),
        'imds.version': null,
        'imds.kind': 'other',
        'imds.category': 'other',
        'imds.role': null,
        'imds.server_version': null,
        'imds.fallback': null,
        'imds.hops': null,
        'imds.token_hop_limit': null,
        'http.request.method': null,
        'url.path': null,
        'url.query': null,
        'user_agent.original': null,
        'http.response.status_code': null,
        outcome: 'blocked',
        duration_ms: null,
        ...this.addressFields(connection.tuple),
        ...this.callerFields(context),
      },
      context.workload,
      true,
      timeUs,
    );
  }

  /** See `CallAnswerer.noteRedirected`. */
  noteRedirected(connection: KernelConnection, where: NamespaceRef, timeUs: number): boolean {
    return this.answerer.noteRedirected(connection, where, timeUs, () => {
      const context = newContext(connection.owner(), connection.initialSequence);
      this.describeOwner(context);
      return context;
    });
  }

  /** See `CallAnswerer.socketClosed`. */
  socketClosed(netns: number, tuple: FlowTuple, timeUs: number): void {
    this.answerer.socketClosed(netns, tuple, timeUs);
  }

  private answererFields(tuple: FlowTuple, context: ConnectionContext, exchange: Exchange) {
    if (!this.isImds(tuple)) return NO_ANSWERER;
    const fields = this.answerer.answererFields(tuple, context, exchange);
    if (fields.answered_by === 'host') this.counts.answered_by_host++;
    return fields;
  }

  /** Returns what names the client of a connection, which may be the program behind a relay. */
  private clientOf({ localAddress }: FlowTuple, context: ConnectionContext): Client {
    const { relayed } = context;
    // A user-mode network has one client, whose requests may be handled after its own.
    const isItself = relayed === null || relayed.kind === 'user_network';
    const { owner, process } = isItself ? context : relayed.caller;
    const isShared = context.relayed === null && this.answerer.isRelay(context);
    return { owner, process, address: localAddress, isShared };
  }

  private dismissTokenRequests(context: ConnectionContext): void {
    for (const request of context.tokenRequests.splice(0)) this.fallback.dismiss(request);
  }

  private endTokenRequest(context: ConnectionContext, exchange: Exchange): void {
    const at = context.tokenRequests.findIndex(({ startUs }) => startUs === exchange.startUs);
    if (at < 0) return;
    const [request] = context.tokenRequests.splice(at, 1);
    const { response, outcome, startUs, responseUs } = exchange;
    if (response === null) {
      if (outcome === 'truncated') this.fallback.dismiss(request!);
      else this.fallback.giveUp(request!, startUs, null);
    } else if (exchange.isPresumed && request!.isGivenUp) {
      // The client closed the connection before it acknowledged this answer.
    } else if (response.status < 400) {
      this.fallback.grant(request!);
    } else {
      this.fallback.refuse(request!, responseUs ?? startUs);
    }
  }

  private identifyCaller(tuple: FlowTuple, context: ConnectionContext): void {
    if (context.process !== null) return;
    const { attribution, onOwnerMissing } = this.options;
    const { initialSequence, begunUs } = context;
    context.owner ??= attribution?.attributor.ownerOf(tuple, false, initialSequence, begunUs) ?? null;
    if (context.owner === null && attribution?.attributor.namesAfterSyn === true && !context.isSearched) {
      context.isSearched = true;
      if (onOwnerMissing?.()) {
        context.owner = attribution.attributor.ownerOf(tuple, false, initialSequence, begunUs);
      }
    }
    this.describeOwner(context);
  }

  /**
   * Finds the process that sent a request: the one that connected, or another one to which the connection was handed. The
   * next request may be sent by another one still.
   */
  private identifySender(
    tuple: FlowTuple,
    context: ConnectionContext,
    { bytes }: Pick<ExchangeRequest, 'bytes'>,
  ): void {
    this.identifyCaller(tuple, context);
    const { attribution } = this.options;
    const { initialSequence } = context;
    if (attribution?.attributor.useOf === undefined || initialSequence === null || bytes == null) return;
    context.connector ??= context.owner;
    const use = attribution.attributor.useOf(tuple, initialSequence, bytes, context.connector);
    if (use === null) return;
    const { opener, sender, isMixed } = use;
    context.use = isMixed ? 'shared' : sender === null ? 'own' : 'handed';
    if (sender === context.sender) return;
    context.sender = sender;
    context.opener =
      sender === null || opener === null ? null : openerFacts(attribution.identity.describe(opener));
    context.owner = sender ?? opener;
    context.process = null;
    context.workload = null;
    this.describeOwner(context);
  }

  private describeOwner(context: ConnectionContext): void {
    const { attribution } = this.options;
    if (attribution === null || context.owner === null) return;
    context.process = attribution.identity.describe(context.owner);
    context.workload = attribution.workloads.begin(context.owner);
  }

  /**
   * Returns whether this process sent the request. It sends IMDSv2 requests only, one per connection: any
   * other request on its connections counts as a call.
   */
  private isOwnRequest(tuple: FlowTuple, context: ConnectionContext, version: Call['imds.version']): boolean {
    if (this.options.ownCalls === undefined || version !== 2 || context.ownRequests > 0) return false;
    if (context.isOwn) return true;
    this.identifyCaller(tuple, context);
    return context.owner?.isSelf === true;
  }

  private isImds({ remoteAddress }: FlowTuple): boolean {
    return this.options.endpoints.get(remoteAddress)?.service === 'imds';
  }

  private addressFields({ localAddress, localPort, remoteAddress, remotePort }: FlowTuple): AddressFields {
    return {
      // Neither the capture nor the kernel reports any other address.
      'imds.endpoint': this.options.endpoints.get(remoteAddress)!.name,
      'source.address': localAddress,
      'source.port': localPort,
      'destination.address': remoteAddress,
      'destination.port': remotePort,
    };
  }

  private callerFields({ owner, process, use }: ConnectionContext): CallerFields {
    return {
      process,
      'attribution.method': owner?.method ?? 'none',
      'attribution.confidence':
        use === 'shared' && owner !== null ? 'probable' : (owner?.confidence ?? 'none'),
      host: this.host,
    };
  }

  /**
   * Emits a call, at once or when the names of its workload are known. A slow container engine never costs a
   * call.
   */
  private emitCall(
    call: CallWithoutWorkload,
    workload: WorkloadRef | null,
    isProven: boolean,
    startUs: number,
  ): void {
    this.counts.calls++;
    this.counts[call.outcome]++;
    const { attribution, onCall } = this.options;
    if (attribution === null) {
      onCall({ ...call, container: null, k8s: null, systemd: null }, isProven);
      return;
    }
    this.counts[call['attribution.method'] === 'none' ? 'unattributed' : 'attributed']++;
    const endWait = this.open.beginWait(startUs);
    attribution.workloads.whenSettled(workload, NAMES_WAIT_MS, () => {
      endWait();
      onCall({ ...call, ...attribution.workloads.facts(workload) }, isProven);
    });
  }
}

function connectionFields({
  owner,
  opener,
  use,
}: ConnectionContext): Pick<Call, 'caller.connection' | 'opener'> {
  const isShared = owner?.isShared === true;
  return { 'caller.connection': use ?? (isShared ? 'shared' : null), opener };
}

function openerFacts(facts: ProcessFacts): Opener {
  const { pid, name, script } = facts;
  const { 'executable.path': executable, 'owner.uid': uid } = facts;
  return { pid, name, 'executable.path': executable, script, 'owner.uid': uid };
}

function counterOf({
  version,
  category,
}: Pick<Classification, 'category'> & { version: Call['imds.version'] }):
  | 'v1'
  | 'v2'
  | 'other_cloud'
  | 'unversioned' {
  if (version === null) return 'unversioned';
  if (version === 2) return 'v2';
  return category === 'other-cloud' ? 'other_cloud' : 'v1';
}
