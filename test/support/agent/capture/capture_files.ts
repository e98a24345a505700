/** Writes pcap and pcapng bytes from their drafts, independently of the code that reads them. */

export interface Record {
  timeUs?: number;
  data: Uint8Array;
  wireLength?: number;
}

export interface PcapOptions {
  little?: boolean;
  /** Time stamps in nanoseconds. */
  nano?: boolean;
  network?: number;
}

/** Builds a pcap file (draft-ietf-opsawg-pcap, sections 4 and 5). */
export function pcap(
  records: Record[],
  { little = true, nano = false, network = 101 }: PcapOptions = {},
): Buffer {
  const { u16, u32 } = writers(little);
  const magic = nano ? 0xa1b23c4d : 0xa1b2c3d4;
  const header = [u32(magic), u16(2), u16(4), u32(0), u32(0), u32(262_144), u32(network)];
  const body = records.flatMap(({ timeUs = 0, data, wireLength = data.length }) => {
    const fraction = (timeUs % 1e6) * (nano ? 1_000 : 1);
    return [
      u32(Math.floor(timeUs / 1e6)),
      u32(fraction),
      u32(data.length),
      u32(wireLength),
      Buffer.from(data),
    ];
  });
  return Buffer.concat([...header, ...body]);
}

/** Builds a pcapng block (draft-ietf-opsawg-pcapng, section 3.1). */
export class PcapngBlocks {
  private readonly little: boolean;
  private readonly u16: (value: number) => Buffer;
  private readonly u32: (value: number) => Buffer;

  constructor(little: boolean) {
    this.little = little;
    ({ u16: this.u16, u32: this.u32 } = writers(little));
  }

  block(type: number, ...body: Uint8Array[]): Buffer {
    const content = padded(Buffer.concat(body));
    const length = this.u32(content.length + 12);
    return Buffer.concat([this.u32(type), length, content, length]);
  }

  section(): Buffer {
    const unknownLength = Buffer.alloc(8, 0xff);
    return this.block(0x0a0d0d0a, this.u32(0x1a2b3c4d), this.u16(1), this.u16(0), unknownLength);
  }

  interface(
    network: number,
    options: { tsresol?: number; tsoffset?: bigint; snap?: number; name?: string } = {},
  ): Buffer {
    const list: Buffer[] = [];
    if (options.name !== undefined) list.push(this.option(2, Buffer.from(options.name)));
    if (options.tsresol !== undefined) list.push(this.option(9, Buffer.from([options.tsresol])));
    if (options.tsoffset !== undefined) {
      const value = Buffer.alloc(8);
      if (this.little) value.writeBigInt64LE(options.tsoffset);
      else value.writeBigInt64BE(options.tsoffset);
      list.push(this.option(14, value));
    }
    if (list.length > 0) list.push(this.option(0, Buffer.alloc(0)));
    return this.block(1, this.u16(network), this.u16(0), this.u32(options.snap ?? 0), ...list);
  }

  enhanced(id: number, ticks: bigint, data: Uint8Array, wireLength = data.length): Buffer {
    const time = [this.u32(Number(ticks >> 32n)), this.u32(Number(ticks & 0xffff_ffffn))];
    return this.block(6, this.u32(id), ...time, this.u32(data.length), this.u32(wireLength), padded(data));
  }

  simple(data: Uint8Array, wireLength = data.length): Buffer {
    return this.block(3, this.u32(wireLength), padded(data));
  }

  /** The packet block of older files. */
  obsolete(id: number, ticks: bigint, data: Uint8Array): Buffer {
    const time = [this.u32(Number(ticks >> 32n)), this.u32(Number(ticks & 0xffff_ffffn))];
    const lengths = [this.u32(data.length), this.u32(data.length)];
    return this.block(2, this.u16(id), this.u16(0), ...time, ...lengths, padded(data));
  }

  private option(code: number, value: Buffer): Buffer {
    return Buffer.concat([this.u16(code), this.u16(value.length), padded(value)]);
  }
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}

function writers(little: boolean) {
  return {
    u16: (value: number) => {
      const bytes = Buffer.alloc(2);
      if (little) bytes.writeUInt16LE(value);
      else bytes.writeUInt16BE(value);
      return bytes;
    },
    u32: (value: number) => {
      const bytes = Buffer.alloc(4);
      if (little) bytes.writeUInt32LE(value >>> 0);
      else bytes.writeUInt32BE(value >>> 0);
      return bytes;
    },
  };
}
