/** The agent's stages in one row: packets → segments → exchanges → calls with their callers. */
import type { Call, HostFacts, ProcessFacts } from '../protocol/call.ts';
import { type Endpoint, type EndpointService, endpointsOf, IMDS_PORT } from '../protocol/endpoints.ts';
import type { StageCounters } from '../protocol/records.ts';
import type { Attributor, KernelConnection } from './attribution/attributor.ts';
import type { SocketOwner } from './attribution/owner.ts';
import { callId, timestampOf } from './call_id.ts';
import type { Packet, PacketSource } from './capture/packet_source.ts';
import { asksForToken, classify, classifyCredentialsEndpoint, isUnproven } from './conversation/classify.ts';
import type { Exchange } from './conversation/exchange.ts';
import { FallbackWatch } from './conversation/fallback.ts';
import { ACK, type Segment, SYN } from './conversation/segment.ts';
import { Tracker } from './conversation/tracker.ts';
import { OpenCalls } from './coverage/open_calls.ts';
import { decodePacket } from './decode/decode.ts';
import type { DecodeFault } from './decode/decode_fault.ts';
import type { FlowTuple } from './flow.ts';
import type { OwnCalls } from './host/own_calls.ts';
import type { ProcessIdentity } from './identity/process_identity.ts';
import type { WorkloadIdentity, WorkloadRef } from './identity/workload.ts';
import { MASK } from './secrets/mask_shapes.ts';

export interface PipelineOptions {
  source: PacketSource;
  /** Whose calls are wanted; the instance metadata service's unless given. */
  endpoints?: readonly EndpointService[];
  /** Null where packets do not come from this host. */
  attribution: { attributor: Attributor; identity: ProcessIdentity; workloads: WorkloadIdentity } | null;
  host: HostFacts;
  /** `isProven`: false for a call that passes for IMDSv2 without proof; see `isUnproven`. */
  onCall: (call: Call, isProven: boolean) => void;
  /** The capture saw a connection begin, by its SYN or by its first byte; called for each copy of it. */
  onBeginning?: (remoteAddress: string, initialSequence: number, timeUs: number) => void;
  /** Connections of this very process: its own questions are counted, and are no calls. */
  own?: OwnCalls;
  /** The owner of a connection that begins was not found. Returns whether asking again may help. */
  onUnowned?: () => boolean;
  /** A packet came: something may have to be decided soon by the passing of time. */
  onPacket?: () => void;
}

/** How long a call waits for the name of its container. */
const NAMES_WAIT_MS = 250;

/** A call without its workload. */
type Unnamed = Omit<Call, 'container' | 'k8s' | 'systemd'>;
type Where = Pick<
  Call,
  'imds.endpoint' | 'source.address' | 'source.port' | 'destination.address' | 'destination.port'
>;
type Whose = Pick<Call, 'process' | 'attribution.method' | 'attribution.confidence' | 'host'>;

/** What is remembered with a connection. */
interface Context {
  owner: SocketOwner | null;
  process: ProcessFacts | null;
  /** Its container, pod and unit, with their names on the way. */
  workload: WorkloadRef | null;
  /** Sequence number of its SYN; null where that was not seen. */
  initialSequence: number | null;
  /** Our own socket made it, as far as that is known without eBPF. */
  isOwn: boolean;
  /** How many of its requests were taken for our own. We never send a second one on a connection. */
  ownRequests: number;
}

export class Pipeline {
  private readonly options: PipelineOptions;
  private readonly endpoints: ReadonlyMap<string, Endpoint>;
  private readonly tracker: Tracker<Context>;
  private readonly fallback = new FallbackWatch();
  private readonly open = new OpenCalls<Context>();
  private readonly decoded: Record<'packets' | 'segments' | 'cut_payloads' | DecodeFault, number> = {
    packets: 0,
    segments: 0,
    cut_payloads: 0,
    link_type: 0,
    not_ip: 0,
    not_tcp: 0,
    ip_fragment: 0,
    cut_short: 0,
    malformed: 0,
    bad_checksum: 0,
  };
  /** As calls from here on have it. */
  host: HostFacts;
  /** Time of the packet in hand. */
  private nowUs = 0;
  /** The segment in hand. */
  private segment: Segment | null = null;
  private readonly calls = {
    calls: 0,
    v1: 0,
    v2: 0,
    /** To endpoints that have no versions. */
    unversioned: 0,
    answered: 0,
    unanswered: 0,
    reset: 0,
    truncated: 0,
    blocked: 0,
    /** Our own, which are none of the others. */
    own: 0,
    attributed: 0,
    unattributed: 0,
    /** The service's own verdict was another than ours. */
    verdict_disagreements: 0,
    /** Read as IMDSv2, though the request is not plainly so and the service gave no verdict. */
    unproven: 0,
  };

  constructor(options: PipelineOptions) {
    this.options = options;
    this.host = options.host;
    this.endpoints = endpointsOf(options.endpoints ?? ['imds']);
    this.tracker = new Tracker<Context>(
      {
        opened: (tuple, atSyn, initialSequence) => this.opened(tuple, atSyn, initialSequence),
        asked: (tuple, context, request, startUs) => {
          // While the caller still waits for its answer it can still be read.
          this.open.asked(context, startUs);
          if (!context.isOwn || context.ownRequests > 0) this.identify(tuple, context);
          const key = callerKey(context);
          if (key !== null && this.isImds(tuple) && asksForToken(request))
            this.fallback.tokenAsked(key, startUs);
        },
        exchange: (tuple, context, exchange) => this.exchange(tuple, context, exchange),
        closed: (tuple, context) => {
          this.open.closed(context);
          this.options.attribution?.attributor.closed(tuple);
        },
      },
      (address, port) => port === IMDS_PORT && this.endpoints.has(address),
    );
  }

  /** Begins to read. A live source returns at once, a file when it was read to its end. */
  start(): void {
    const { source, onPacket } = this.options;
    source.start((packet) => {
      this.packet(packet);
      onPacket?.();
    });
  }

  /** Time has passed; see `Tracker.tick`. */
  tick(nowUs: number): boolean {
    this.options.attribution?.attributor.poll();
    return this.tracker.tick(nowUs);
  }

  /** Stops the source; what is open is reported as it stands. */
  stop(): void {
    this.options.source.stop();
    this.options.attribution?.attributor.poll(); // what the kernel has said until now
    this.tracker.finish();
  }

  /** Calls that began and are not recorded yet. */
  get openCalls(): number {
    return this.open.count;
  }

  /** When the oldest of them began, in microseconds since 1970; null where there is none. */
  get openSinceUs(): number | null {
    return this.open.sinceUs;
  }

  counters(): StageCounters {
    const { source, attribution } = this.options;
    const stages: StageCounters = {
      capture: source.counters(),
      decode: { ...this.decoded },
      conversation: this.tracker.counters(),
      calls: { ...this.calls },
    };
    if (attribution !== null) {
      stages['attribution'] = attribution.attributor.counters();
      stages['identity'] = attribution.identity.counters();
      stages['workloads'] = attribution.workloads.counters();
    }
    return stages;
  }

  /** The kernel saw an attempt whose SYN never left: nothing was asked, and somebody wanted to. */
  blocked(connection: KernelConnection, timeUs: number): void {
    const context = newContext(connection.owner(), connection.initialSequence);
    if (this.options.own !== undefined && context.owner?.isSelf === true) {
      this.calls.own++;
      return;
    }
    this.describe(context);
    this.emit(
      {
        id: callId(timeUs),
        time: timestampOf(timeUs),
        'imds.version': null,
        'imds.kind': 'other',
        'imds.category': 'other',
        'imds.role': null,
        'imds.server_version': null,
        'imds.fallback': null,
        'http.request.method': null,
        'url.path': null,
        'url.query': null,
        'user_agent.original': null,
        'http.response.status_code': null,
        outcome: 'blocked',
        duration_ms: null,
        ...this.where(connection.tuple),
        ...this.whose(context),
      },
      context.workload,
      true,
      timeUs,
    );
  }

  private packet(packet: Packet): void {
    this.options.attribution?.attributor.poll();
    this.decoded.packets++;
    const segment = decodePacket(packet.data, packet.linkType, packet.timeUs, packet.wireLength);
    if (typeof segment === 'string') {
      this.decoded[segment]++;
      return;
    }
    this.decoded.segments++;
    if (segment.payloadCutBytes > 0) this.decoded.cut_payloads++;
    this.nowUs = packet.timeUs;
    this.segment = segment;
    if ((segment.flags & (SYN | ACK)) === SYN && this.isToEndpoint(segment)) {
      this.options.onBeginning?.(segment.destinationAddress, segment.seq, this.nowUs);
    }
    this.tracker.segment(segment);
  }

  private isToEndpoint({ destinationAddress, destinationPort }: Segment): boolean {
    return destinationPort === IMDS_PORT && this.endpoints.has(destinationAddress);
  }

  private opened(tuple: FlowTuple, atSyn: boolean, initialSequence: number | null): Context {
    const { attribution, onUnowned, onBeginning, own } = this.options;
    const context = newContext(null, initialSequence);
    if (!atSyn && this.isToEndpoint(this.segment!)) {
      // Where its SYN was not captured and this is its first byte, nothing of it was missed.
      onBeginning?.(tuple.remoteAddress, (this.segment!.seq - 1) >>> 0, this.nowUs);
    }
    if (attribution === null) return context;
    const { attributor } = attribution;
    if (initialSequence !== null && own !== undefined && attributor.inodeOf !== undefined) {
      context.isOwn = own.begins(tuple, initialSequence, () => attributor.inodeOf!(tuple));
      if (context.isOwn) return context;
    }
    context.owner = attributor.ownerOf(tuple, atSyn, context.initialSequence);
    if (context.owner === null && onUnowned?.()) {
      context.owner = attributor.ownerOf(tuple, atSyn, context.initialSequence);
    }
    return context;
  }

  private identify(tuple: FlowTuple, context: Context): void {
    if (context.process !== null) return;
    const { attribution } = this.options;
    context.owner ??= attribution?.attributor.ownerOf(tuple, false, context.initialSequence) ?? null;
    this.describe(context);
  }

  private describe(context: Context): void {
    const { attribution } = this.options;
    if (attribution === null || context.owner === null) return;
    context.process = attribution.identity.describe(context.owner);
    context.workload = attribution.workloads.begin(context.owner);
  }

  private exchange(tuple: FlowTuple, context: Context, exchange: Exchange): void {
    this.open.completed(context);
    const { request, response, outcome, startUs, responseUs } = exchange;
    const verdict = this.isImds(tuple) ? classify(exchange) : classifyCredentialsEndpoint(exchange);
    if (this.isOwnQuestion(tuple, context, verdict.version)) {
      context.ownRequests++;
      this.calls.own++;
      return;
    }
    this.identify(tuple, context);
    const key = callerKey(context);
    let fallback: Call['imds.fallback'] = null;
    if (key !== null && verdict.kind === 'token') {
      this.fallback.tokenEnded(key, startUs, response?.status ?? null);
    } else if (key !== null && verdict.version === 1 && verdict.kind === 'read') {
      fallback = this.fallback.reasonFor(key, startUs);
    }
    this.calls[verdict.version === null ? 'unversioned' : verdict.version === 1 ? 'v1' : 'v2']++;
    if (verdict.serverVersion !== null && verdict.serverVersion !== verdict.version) {
      this.calls.verdict_disagreements++;
    }
    const isProven = verdict.version === null || !isUnproven(exchange, verdict);
    if (!isProven) this.calls.unproven++;
    this.emit(
      {
        id: callId(startUs),
        time: timestampOf(startUs),
        'imds.version': verdict.version,
        'imds.kind': verdict.kind,
        'imds.category': verdict.category,
        'imds.role': verdict.role,
        'imds.server_version': verdict.serverVersion,
        'imds.fallback': fallback,
        'http.request.method': request.method,
        'url.path': request.path,
        // The old form of ECS has its secret there: `/v1/credentials?id=<id>`.
        'url.query': verdict.version === null && request.query !== null ? MASK : request.query,
        'user_agent.original': request.userAgent,
        'http.response.status_code': response?.status ?? null,
        outcome,
        duration_ms: responseUs === null ? null : Math.max(0, responseUs - startUs) / 1_000,
        ...this.where(tuple),
        ...this.whose(context),
      },
      context.workload,
      isProven,
      startUs,
    );
  }

  /** We ask by IMDSv2 alone, once a connection: whatever else comes on a connection of ours is counted as a call. */
  private isOwnQuestion(tuple: FlowTuple, context: Context, version: Call['imds.version']): boolean {
    if (this.options.own === undefined || version !== 2 || context.ownRequests > 0) return false;
    if (context.isOwn) return true;
    this.identify(tuple, context);
    return context.owner?.isSelf === true;
  }

  private isImds({ remoteAddress }: FlowTuple): boolean {
    return this.endpoints.get(remoteAddress)?.service === 'imds';
  }

  private where({ localAddress, localPort, remoteAddress, remotePort }: FlowTuple): Where {
    return {
      'imds.endpoint': this.endpoints.get(remoteAddress)!.name, // no other is captured, or reported by the kernel
      'source.address': localAddress,
      'source.port': localPort,
      'destination.address': remoteAddress,
      'destination.port': remotePort,
    };
  }

  private whose({ owner, process }: Context): Whose {
    return {
      process,
      'attribution.method': owner?.method ?? 'none',
      'attribution.confidence': owner?.confidence ?? 'none',
      host: this.host,
    };
  }

  /** Hands a call on, at once or when its workload's names have come: an engine that is slow costs no call. */
  private emit(call: Unnamed, workload: WorkloadRef | null, isProven: boolean, startUs: number): void {
    this.calls.calls++;
    this.calls[call.outcome]++;
    const { attribution, onCall } = this.options;
    if (attribution === null) {
      onCall({ ...call, container: null, k8s: null, systemd: null }, isProven);
      return;
    }
    this.calls[call['attribution.method'] === 'none' ? 'unattributed' : 'attributed']++;
    const named = this.open.waitsForName(startUs);
    attribution.workloads.whenSettled(workload, NAMES_WAIT_MS, () => {
      named();
      onCall({ ...call, ...attribution.workloads.facts(workload) }, isProven);
    });
  }
}

function newContext(owner: SocketOwner | null, initialSequence: number | null): Context {
  return { owner, process: null, workload: null, initialSequence, isOwn: false, ownRequests: 0 };
}

function callerKey({ owner }: Context): string | null {
  return owner === null ? null : `${owner.pid}:${owner.startTicks}`;
}
