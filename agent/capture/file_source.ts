/**
 * Reads packets from a capture file: pcap (https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/) or
 * pcapng (https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcapng/), in either byte order. The file is read
 * piece by piece, because it may be larger than memory. `cap` does not open files.
 */
import { closeSync, openSync } from 'node:fs';
import { OperatorError } from '../../common/operator_error.ts';
import type { Counters } from '../../protocol/records.ts';
import type { LinkType } from '../decode/link_type.ts';
import { FileReader } from './file_reader.ts';
import type { PacketHandler, PacketSource } from './packet_source.ts';

/** The link types by their numbers (https://www.tcpdump.org/linktypes.html). */
const LINK_TYPES = new Map<number, LinkType>([
  [0, 'NULL'],
  [1, 'ETHERNET'],
  [12, 'RAW'],
  [14, 'RAW'],
  [101, 'RAW'],
  [108, 'LOOP'],
  [113, 'LINUX_SLL'],
  [228, 'RAW'],
  [229, 'RAW'],
  [276, 'LINUX_SLL2'],
]);
/** The largest packet or block. A greater length is garbage. */
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;

const PCAPNG_SECTION = 0x0a0d0d0a;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;
const INTERFACE_DESCRIPTION = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const OPTION_IF_TSRESOL = 9;
const OPTION_IF_TSOFFSET = 14;

interface Interface {
  linkType: LinkType | undefined;
  snapLength: number;
  ticksPerSecond: number;
  offsetSeconds: number;
}

/**
 * The last microsecond that the time of a call can have (protocol/call.ts). The file formats allow later
 * ones.
 */
const MAX_TIME_US = Date.UTC(2200, 0, 1) * 1000 - 1;

export class FileSource implements PacketSource {
  readonly name: string;
  live = false;
  private readonly counts = {
    packets: 0,
    bytes: 0,
    cut: 0,
    unknown_link_type: 0,
    skipped_blocks: 0,
    damaged: 0,
    /** Packets whose time is damaged. Like packets without a time, they get the Unix epoch. */
    bad_times: 0,
  };

  constructor(path: string) {
    this.name = path;
  }

  /**
   * Reads the whole file, synchronously. Throws `OperatorError` (2) if it cannot be read or is no capture
   * file.
   */
  start(handler: PacketHandler): void {
    let fd: number;
    try {
      fd = openSync(this.name, 'r');
    } catch (error) {
      throw new OperatorError(2, `${this.name} cannot be read: ${(error as Error).message}.`);
    }
    this.live = true;
    try {
      this.read(new FileReader(fd, this.name), handler);
    } finally {
      this.live = false;
      closeSync(fd);
    }
  }

  stop(): void {
    this.live = false;
  }

  counters(): Counters {
    return { ...this.counts };
  }

  private read(reader: FileReader, handler: PacketHandler): void {
    const magic = reader.peek(4);
    if (magic === null) throw new OperatorError(2, `${this.name} is empty: it is no pcap or pcapng file.`);
    if (magic.readUInt32BE(0) === PCAPNG_SECTION) {
      this.readPcapng(reader, handler);
      return;
    }
    const kinds: Record<number, { little: boolean; ticks: number }> = {
      2712847316: { little: false, ticks: 1e6 },
      3569595041: { little: true, ticks: 1e6 },
      2712812621: { little: false, ticks: 1e9 },
      1295823521: { little: true, ticks: 1e9 },
    };
    const kind = kinds[magic.readUInt32BE(0)];
    if (kind === undefined) throw noCaptureFile(this.name);
    this.readPcap(reader, kind.little, kind.ticks, handler);
  }

  private readPcap(reader: FileReader, little: boolean, ticks: number, handler: PacketHandler): void {
    const header = reader.take(24);
    if (header === null) {
      this.counts.damaged++;
      return;
    }
    const u32 = u32Reader(little);
    const linkType = LINK_TYPES.get(u32(header, 20) & 0xffff);
    for (let record = reader.take(16); record !== null; record = reader.take(16)) {
      const captured = u32(record, 8);
      const data = captured > MAX_BLOCK_BYTES ? null : reader.take(captured);
      if (data === null) {
        this.counts.damaged++; // cut off in the middle of a packet, or garbage from here on
        return;
      }
      const timeUs = u32(record, 0) * 1e6 + Math.floor((u32(record, 4) * 1e6) / ticks);
      this.deliver(linkType, data, timeUs, u32(record, 12), handler);
    }
    if (reader.hasRest) this.counts.damaged++;
  }

  private readPcapng(reader: FileReader, handler: PacketHandler): void {
    let little = true;
    let interfaces: Interface[] = [];
    for (let head = reader.peek(12); head !== null; head = reader.peek(12)) {
      if (head.readUInt32BE(0) === PCAPNG_SECTION) {
        const isLittle = head.readUInt32LE(8) === BYTE_ORDER_MAGIC;
        if (!isLittle && head.readUInt32BE(8) !== BYTE_ORDER_MAGIC) {
          if (reader.isAtStart) throw noCaptureFile(this.name);
          break;
        }
        little = isLittle;
        interfaces = [];
      }
      const u32 = u32Reader(little);
      const type = u32(head, 0);
      const length = u32(head, 4);
      if (length < 12 || length % 4 !== 0 || length > MAX_BLOCK_BYTES) break;
      const block = reader.take(length);
      if (block === null) break;
      const body = block.subarray(8, length - 4);
      if (type === INTERFACE_DESCRIPTION && body.length >= 8) {
        interfaces.push(interfaceOf(body, little));
      } else if (type === ENHANCED_PACKET && body.length >= 20) {
        this.enhancedPacket(body, u32(body, 0), u32, interfaces, handler);
      } else if (type === OBSOLETE_PACKET && body.length >= 20) {
        const id = little ? body.readUInt16LE(0) : body.readUInt16BE(0);
        this.enhancedPacket(body, id, u32, interfaces, handler);
      } else if (type === SIMPLE_PACKET && body.length >= 4) {
        const from = interfaces[0];
        const wire = u32(body, 0);
        const captured = Math.min(wire, body.length - 4, from?.snapLength || wire);
        // A simple packet has no time, so it gets the Unix epoch.
        this.deliver(from?.linkType, body.subarray(4, 4 + captured), 0, wire, handler);
      } else if (type !== PCAPNG_SECTION) {
        this.counts.skipped_blocks++;
      }
    }
    if (reader.hasRest) this.counts.damaged++;
  }

  private enhancedPacket(
    body: Buffer,
    id: number,
    u32: (bytes: Buffer, offset: number) => number,
    interfaces: Interface[],
    handler: PacketHandler,
  ): void {
    const from = interfaces[id];
    const captured = u32(body, 12);
    if (from === undefined || captured > body.length - 20) {
      this.counts.damaged++;
      return;
    }
    const ticks = (BigInt(u32(body, 4)) << 32n) | BigInt(u32(body, 8));
    const perSecond = BigInt(from.ticksPerSecond);
    const timeUs = Number((ticks * 1_000_000n) / perSecond) + from.offsetSeconds * 1e6;
    this.deliver(from.linkType, body.subarray(20, 20 + captured), timeUs, u32(body, 16), handler);
  }

  private deliver(
    linkType: LinkType | undefined,
    data: Buffer,
    timeUs: number,
    wireLength: number,
    handler: PacketHandler,
  ): void {
    this.counts.packets++;
    this.counts.bytes += data.length;
    if (wireLength > data.length) this.counts.cut++;
    if (linkType === undefined) {
      this.counts.unknown_link_type++;
      return;
    }
    const isTime = timeUs >= 0 && timeUs <= MAX_TIME_US;
    if (!isTime) this.counts.bad_times++;
    handler([{ data, linkType, timeUs: isTime ? timeUs : 0, wireLength: Math.max(wireLength, data.length) }]);
  }
}

function interfaceOf(body: Buffer, little: boolean): Interface {
  const u16 = (offset: number) => (little ? body.readUInt16LE(offset) : body.readUInt16BE(offset));
  const u32 = u32Reader(little);
  const found: Interface = {
    linkType: LINK_TYPES.get(u16(0)),
    snapLength: u32(body, 4),
    ticksPerSecond: 1e6,
    offsetSeconds: 0,
  };
  for (let offset = 8; offset + 4 <= body.length; ) {
    const code = u16(offset);
    const length = u16(offset + 2);
    const value = offset + 4;
    if (code === 0 || value + length > body.length) break;
    if (code === OPTION_IF_TSRESOL && length >= 1) {
      const resolution = body[value]!;
      const exponent = resolution & 0x7f;
      const perSecond = resolution & 0x80 ? 2 ** exponent : 10 ** exponent;
      if (perSecond <= 1e15) found.ticksPerSecond = perSecond;
    } else if (code === OPTION_IF_TSOFFSET && length >= 8) {
      found.offsetSeconds = Number(little ? body.readBigInt64LE(value) : body.readBigInt64BE(value));
    }
    offset = value + ((length + 3) & ~3);
  }
  return found;
}

function u32Reader(little: boolean): (bytes: Buffer, offset: number) => number {
  return little
    ? (bytes, offset) => bytes.readUInt32LE(offset)
    : (bytes, offset) => bytes.readUInt32BE(offset);
}

function noCaptureFile(path: string): OperatorError {
  return new OperatorError(2, `${path} is no pcap or pcapng file.`);
}
