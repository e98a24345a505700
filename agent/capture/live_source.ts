/**
 * Captures live packets of one network namespace, with `cap` (libpcap).
 *
 * `cap` is always opened on `any`, and the filter selects the interface. Opened on a named interface, it
 * would end the whole process with a failed assertion when that interface goes down (its poll handle reports
 * an error that it asserts never to see), and it would set promiscuous mode. `cap` works on the main thread
 * only and overwrites its one buffer with each packet.
 */
import { createRequire } from 'node:module';
import { OperatorError } from '../../common/operator_error.ts';
import type { EndpointService } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import type { LinkType } from '../decode/link_type.ts';
import { interfaceIndex, packetStatistics, socketDescriptors } from '../linux/libc.ts';
import { withinNamespace } from '../linux/network_namespaces.ts';
import { cookedEndpointFilter, endpointFilterBesideService, endpointFilterOnInterface } from './filter.ts';
import { BATCH_BYTES, readPackets, writeOptions } from './packet_batch.ts';
import type { PacketHandler, PacketSource } from './packet_source.ts';

interface Cap {
  open(device: string, filter: string, bufferBytes: number, buffer: Buffer): string;
  on(event: 'packet', handler: (length: number) => void): void;
  close(): void;
}

const LINK_TYPES: Record<string, LinkType> = {
  ETHERNET: 'ETHERNET',
  LINKTYPE_LINUX_SLL: 'LINUX_SLL',
  RAW: 'RAW',
  NULL: 'NULL',
};
/** libpcap divides the ring for collected packets into blocks of this size (MAXIMUM_SNAPLEN of libpcap 1.8 and newer). */
const BLOCK_BYTES = 262_144;
const LEAST_BLOCKS = 8;

/**
 * When it is closed, cap stops its poll handle but does not close it, so libuv's list of handles still points
 * into the object. If the object were collected as garbage, libuv would write to freed memory (observed:
 * SIGSEGV at exit). So closed objects, of about half a kilobyte each, are kept, and their number is bounded.
 */
const closedCaps: unknown[] = [];
const MAX_CLOSED_CAPS = 20_000;

export interface LiveSourceOptions {
  /** `any`, or the name of an interface. */
  interface: string;
  /** Endpoints to capture packets of. Defaults to the instance metadata service only. */
  endpoints?: readonly EndpointService[];
  /**
   * Size of the kernel's ring. All of it is resident memory. Each packet takes 8 KiB of it, and what is longer is cut
   * (see cap_build). A packet that is collected takes only what it needs, and is not cut.
   */
  ringBytes: number;
  /**
   * Time for which the kernel may collect packets, in milliseconds, before they are handed over together. It is less if a
   * block of the ring, of 256 KiB, is full. A block that was handed over is used again when it was read: a ring of N blocks
   * holds the packets of at least N times this time. Defaults to 0: each packet is handed over at once.
   */
  collectMs?: number;
  /** Path of the network namespace to capture in. Defaults to our own. */
  namespacePath?: string;
  /**
   * The namespace has an endpoint's address itself, so only its own calls to endpoints elsewhere are
   * captured.
   */
  isServiceSide?: boolean;
  /** Receives warnings for the operator while the capture runs. */
  warn?: (message: string) => void;
}

export class LiveSource implements PacketSource {
  readonly name: string;
  private readonly endpoints: readonly EndpointService[];
  private readonly ringBytes: number;
  private readonly collectMs: number;
  private readonly namespacePath: string | undefined;
  private readonly isServiceSide: boolean;
  private readonly warn: (message: string) => void;
  private cap: Cap | null = null;
  private handler: PacketHandler | null = null;
  private descriptor: number | null = null;
  private ifindex = 0;
  /** Packets that the kernel put into the ring since the capture was opened, and those that were read. */
  private collected = 0;
  private read = 0;
  /** Packets of `collected` that are taken for dropped by libpcap. */
  private missing = 0;
  private readonly counts = {
    packets: 0,
    bytes: 0,
    passed_filter: 0,
    dropped: 0,
    reopened: 0,
    reopen_failures: 0,
    blind: 0,
  };

  constructor(options: LiveSourceOptions) {
    const { interface: name, endpoints, ringBytes, namespacePath, isServiceSide, warn } = options;
    // libpcap itself filters the first block, and cannot tell interfaces apart: with a filter by interface it would drop
    // packets. A small ring keeps packets for longer if each has a place of its own.
    const tellsInterfaces = name !== 'any' || isServiceSide === true;
    const canCollect = !tellsInterfaces && ringBytes >= LEAST_BLOCKS * BLOCK_BYTES;
    this.collectMs = canCollect ? (options.collectMs ?? 0) : 0;
    this.endpoints = endpoints ?? ['imds'];
    this.warn = warn ?? (() => {});
    this.name = name;
    this.ringBytes = ringBytes;
    this.namespacePath = namespacePath;
    this.isServiceSide = isServiceSide ?? false;
  }

  get live(): boolean {
    return this.cap !== null;
  }

  /** Returns whether the capture waits for an interface that does not exist now. */
  get awaitsInterface(): boolean {
    return this.cap === null && this.name !== 'any' && this.ifindex === 0;
  }

  /** Throws `OperatorError`: 2 for an interface that does not exist, 3 without CAP_NET_RAW. */
  start(handler: PacketHandler): void {
    this.handler = handler;
    if (this.name !== 'any' && interfaceIndex(this.name) === 0) {
      throw new OperatorError(2, `--interface ${this.name}: this network namespace has no such interface.`);
    }
    this.open();
  }

  stop(): void {
    this.readStatistics();
    if (this.cap !== null) {
      this.cap.close();
      closedCaps.push(this.cap);
    }
    this.cap = null;
    this.descriptor = null;
  }

  /**
   * Closes or reopens the capture when a named interface disappears or comes back. Must be called about once
   * a second.
   */
  check(): void {
    if (this.name === 'any' || this.handler === null) return;
    const now = interfaceIndex(this.name);
    if (now === this.ifindex && (this.cap !== null || now === 0)) return;
    if (this.cap !== null) {
      this.stop();
      this.counts.blind++; // the interface disappeared at some time since the last check
    }
    if (now === 0) {
      this.ifindex = 0;
      this.warn(`the interface ${this.name} is gone. Its calls are not seen until it comes back`);
      return;
    }
    try {
      this.open();
    } catch (error) {
      if (this.counts.reopen_failures++ === 0) {
        this.warn(
          `${(error as Error).message} The agent tries again every second. Until then no calls are seen.`,
        );
      }
      return;
    }
    this.counts.reopened++;
    this.warn(`the interface ${this.name} is back. Its calls are seen again`);
  }

  /**
   * Returns the number that `packetsRead` will have when all packets that were captured until now are read. It may be a
   * few too high, because libpcap drops packets that came before the filter was there; see `assumeAllRead`.
   */
  get packetsCaptured(): number {
    this.readStatistics();
    this.missing = Math.min(this.missing, this.collected - this.read);
    return this.collected - this.missing;
  }

  get packetsRead(): number {
    return this.read;
  }

  /** Learns that of `captured` packets those that were not read by now are not expected any more. */
  assumeAllRead(captured: number): void {
    this.missing += Math.max(0, captured - this.read);
  }

  counters(): Counters {
    this.readStatistics();
    return { ...this.counts };
  }

  private open(): void {
    let filter = this.isServiceSide
      ? endpointFilterBesideService(this.endpoints)
      : cookedEndpointFilter(this.endpoints);
    if (this.name !== 'any') {
      this.ifindex = interfaceIndex(this.name);
      filter = endpointFilterOnInterface(this.ifindex, this.endpoints);
    }
    if (closedCaps.length >= MAX_CLOSED_CAPS) {
      throw new OperatorError(
        1,
        `The capture was opened ${MAX_CLOSED_CAPS} times, which is the limit. Restart the program to open it again.`,
      );
    }
    const { Cap } = createRequire(import.meta.url)('cap') as { Cap: new () => Cap };
    const cap = new Cap();
    const buffer = Buffer.alloc(BATCH_BYTES);
    const { collectMs } = this;
    writeOptions(buffer, { collectMs });
    const before = socketDescriptors();
    let linkName: string;
    try {
      const open = () => cap.open('any', filter, this.ringBytes, buffer);
      linkName = this.namespacePath === undefined ? open() : withinNamespace(this.namespacePath, open);
    } catch (error) {
      // The poll handle was not initialised, and cap stops it when the object is collected: libuv may abort then.
      closedCaps.push(cap);
      throw explained(error as Error, this.name);
    }
    const linkType = LINK_TYPES[linkName];
    if (linkType === undefined) {
      cap.close();
      throw new OperatorError(1, `The capture has the link type ${linkName}, which cannot be decoded.`);
    }
    this.collected = 0;
    this.read = 0;
    this.missing = 0;
    for (const fd of socketDescriptors()) {
      const statistics = before.has(fd) ? null : packetStatistics(fd);
      if (statistics === null) continue;
      this.descriptor = fd;
      // The kernel counts from zero again, and these packets are still to be read.
      this.addStatistics(statistics);
    }
    cap.on('packet', (length) => {
      const packets = readPackets(buffer, length, linkType);
      this.read += packets.length;
      this.counts.packets += packets.length;
      for (const { data } of packets) this.counts.bytes += data.length;
      this.handler?.(packets);
    });
    this.cap = cap;
  }

  private readStatistics(): void {
    if (this.descriptor === null) return;
    const statistics = packetStatistics(this.descriptor);
    if (statistics !== null) this.addStatistics(statistics);
  }

  private addStatistics({ packets, drops }: { packets: number; drops: number }): void {
    this.counts.passed_filter += packets;
    this.counts.dropped += drops;
    this.collected += packets - drops;
  }
}

function explained(error: Error, name: string): OperatorError {
  if (/permission|not permitted/i.test(error.message)) {
    return new OperatorError(
      3,
      'Packets cannot be captured: the capability CAP_NET_RAW is missing. Run as root, or give it to this process ' +
        '(systemd: AmbientCapabilities=CAP_NET_RAW; containers: --cap-add=NET_RAW).',
      { cause: error },
    );
  }
  if (name !== 'any' && /ifindex|syntax error/i.test(error.message)) {
    return new OperatorError(
      2,
      `--interface ${name} needs libpcap 1.10 or newer (${error.message}). Leave the option out to watch all interfaces.`,
      { cause: error },
    );
  }
  return new OperatorError(1, `The capture cannot be opened: ${error.message}.`, { cause: error });
}
