/**
 * Connects the agent's stages: packets become segments, segments exchanges, and exchanges calls with their
 * callers.
 */
import type { HostFacts } from '../protocol/call.ts';
import { type Endpoint, type EndpointService, endpointsOf, IMDS_PORT } from '../protocol/endpoints.ts';
import type { StageCounters } from '../protocol/records.ts';
import { recordPlace } from './attribution/answerer.ts';
import type { KernelConnection } from './attribution/attributor.ts';
import type { SocketOwner } from './attribution/owner.ts';
import type { NamespaceRef } from './attribution/translations.ts';
import { CallBuilder, type CallBuilderOptions } from './call_builder.ts';
import type { Packet, PacketSource } from './capture/packet_source.ts';
import type { ConnectionContext } from './connection_context.ts';
import { ACK, clientFlowOf, type Segment, SYN } from './conversation/segment.ts';
import { Tracker } from './conversation/tracker.ts';
import { decodePacket } from './decode/decode.ts';
import type { DecodeFault } from './decode/decode_fault.ts';
import type { FlowTuple } from './flow.ts';

export interface PipelineOptions extends Omit<CallBuilderOptions, 'endpoints'> {
  source: PacketSource;
  /** Endpoints to report on. Defaults to the instance metadata service only. */
  endpoints?: readonly EndpointService[];
  /**
   * Called when the capture sees a connection begin, by its SYN or its first byte; once for each copy of it.
   */
  onConnectionBegun?: (remoteAddress: string, initialSequence: number, timeUs: number) => void;
  /** Called after packets: a decision that depends on time may be due soon. */
  onPackets?: () => void;
}

export class Pipeline {
  private readonly options: PipelineOptions;
  private readonly endpoints: ReadonlyMap<string, Endpoint>;
  private readonly tracker: Tracker<ConnectionContext>;
  private readonly builder: CallBuilder;
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
  /** Network namespace of the packet that is being handled. */
  private netns = 0;
  /** The segment that is being handled. */
  private segment: Segment | null = null;

  constructor(options: PipelineOptions) {
    this.options = options;
    this.endpoints = endpointsOf(options.endpoints ?? ['imds']);
    const builder = new CallBuilder({ ...options, endpoints: this.endpoints });
    this.builder = builder;
    this.tracker = new Tracker<ConnectionContext>(
      {
        connectionOpened: (tuple, atSyn, initialSequence, timeUs) => {
          // The SYN was not captured. If this is the first byte behind it, nothing was missed.
          const segment = this.segment!;
          if (!atSyn && this.isToEndpoint(segment)) this.reportBeginning(segment, (segment.seq - 1) >>> 0);
          return builder.connectionOpened(tuple, atSyn, initialSequence, timeUs);
        },
        requestSeen: (tuple, context, request, startUs) =>
          builder.requestSeen(tuple, context, request, startUs),
        exchangeCompleted: (tuple, context, exchange) => builder.exchangeCompleted(tuple, context, exchange),
        clientClosed: (context, timeUs, answerHopLimit) =>
          builder.clientClosed(context, timeUs, answerHopLimit),
        connectionClosed: (tuple, context) => builder.connectionClosed(tuple, context),
        clientPacketSeen: ({ places }, { device }) => {
          if (device !== undefined) recordPlace(places, this.netns, device);
        },
        copySeen: (context) => {
          context.isCopied = true;
        },
      },
      (address, port) => port === IMDS_PORT && this.endpoints.has(address),
    );
  }

  /** Host facts that are added to every call from now on. */
  get host(): HostFacts {
    return this.builder.host;
  }

  set host(host: HostFacts) {
    this.builder.host = host;
  }

  /**
   * Starts to read packets. Returns at once for a live source, and at the end of the file for a capture file.
   */
  start(): void {
    const { source, onPackets } = this.options;
    source.start((packets) => {
      this.handlePackets(packets);
      onPackets?.();
    });
  }

  /** Makes the decisions that are due at this time; see `Tracker.tick`. */
  tick(nowUs: number): boolean {
    this.options.attribution?.attributor.poll();
    // A token that is due now may be what a refused client took.
    const isTracking = this.tracker.tick(nowUs);
    return this.builder.tick(nowUs) || isTracking;
  }

  /** Stops the source and reports what is open as it stands. */
  stop(): void {
    this.options.source.stop();
    this.options.attribution?.attributor.poll(); // reads the last reports of the kernel
    this.tracker.finish();
    this.builder.finish();
  }

  /**
   * Returns the number of calls that began and are not recorded yet. A connection that holds bytes back counts as one: an
   * agent that is killed loses what is in them.
   */
  get openCalls(): number {
    return this.builder.openCalls + this.tracker.heldSinceUs().length;
  }

  /** Returns when the oldest of them began, in microseconds since the Unix epoch; null if there is none. */
  get openSinceUs(): number | null {
    const sinceUs = Math.min(
      this.builder.openSinceUs ?? Number.POSITIVE_INFINITY,
      ...this.tracker.heldSinceUs(),
    );
    return Number.isFinite(sinceUs) ? sinceUs : null;
  }

  counters(): StageCounters {
    const { source, attribution } = this.options;
    const stages: StageCounters = {
      capture: source.counters(),
      decode: { ...this.decoded },
      conversation: this.tracker.counters(),
      calls: this.builder.counters(),
    };
    if (attribution !== null) {
      stages['attribution'] = attribution.attributor.counters();
      stages['identity'] = attribution.identity.counters();
      stages['workloads'] = attribution.workloads.counters();
      const { routes } = attribution;
      if (routes !== undefined) {
        stages['relays'] = { ...routes.translations.counters(), ...routes.relays.counters() };
      }
    }
    return stages;
  }

  /** See `CallBuilder.prepareCaller`. */
  prepareCaller(owner: SocketOwner): void {
    this.builder.prepareCaller(owner);
  }

  /** See `CallBuilder.reportBlockedAttempt`. */
  reportBlockedAttempt(connection: KernelConnection, timeUs: number): void {
    this.builder.reportBlockedAttempt(connection, timeUs);
  }

  /** See `CallBuilder.noteRedirected`. */
  noteRedirected(connection: KernelConnection, where: NamespaceRef, timeUs: number): boolean {
    return this.builder.noteRedirected(connection, where, timeUs);
  }

  /** See `CallBuilder.socketClosed`. */
  socketClosed(netns: number, tuple: FlowTuple, timeUs: number): void {
    this.builder.socketClosed(netns, tuple, timeUs);
  }

  /**
   * Handles packets that were read together. Their connections are reported before the kernel's reports are read, so
   * that a connection of which the packets are here is not taken for one that the capture missed.
   */
  private handlePackets(packets: readonly Packet[]): void {
    const segments = packets.map((packet) => this.decode(packet));
    this.options.attribution?.attributor.poll();
    if (segments.length > 1) this.prepareOwners(segments);
    for (let at = 0; at < segments.length; at++) {
      const segment = segments[at];
      if (segment === null || segment === undefined) continue;
      this.netns = packets[at]!.netns ?? 0;
      this.segment = segment;
      this.tracker.handleSegment(segment);
    }
  }

  /** Without eBPF, callers may end while the packets of others are handled: the owners of all are looked for first. */
  private prepareOwners(segments: readonly (Segment | null)[]): void {
    const attributor = this.options.attribution?.attributor;
    if (attributor?.prepareOwner === undefined) return;
    for (const segment of segments) {
      if (segment === null || (segment.flags & (SYN | ACK)) !== SYN || !this.isToEndpoint(segment)) continue;
      attributor.prepareOwner(clientFlowOf(segment, true), segment.timeUs);
    }
  }

  /** Returns null for a packet that is no segment. */
  private decode(packet: Packet): Segment | null {
    this.decoded.packets++;
    const segment = decodePacket(packet.data, packet.linkType, packet.timeUs, packet.wireLength);
    if (typeof segment === 'string') {
      this.decoded[segment]++;
      return null;
    }
    this.decoded.segments++;
    if (segment.payloadCutBytes > 0) this.decoded.cut_payloads++;
    if ((segment.flags & (SYN | ACK)) === SYN && this.isToEndpoint(segment))
      this.reportBeginning(segment, segment.seq);
    return segment;
  }

  private reportBeginning({ destinationAddress, timeUs }: Segment, initialSequence: number): void {
    this.options.onConnectionBegun?.(destinationAddress, initialSequence, timeUs);
  }

  private isToEndpoint({ destinationAddress, destinationPort }: Segment): boolean {
    return destinationPort === IMDS_PORT && this.endpoints.has(destinationAddress);
  }
}
