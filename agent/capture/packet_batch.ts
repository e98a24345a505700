/**
 * The layout of what `cap` hands over: packets that were read together, each with the kernel's time stamp
 * (cap_build/packet_batches.h). Numbers have the byte order of the machine, which is little-endian on x86-64 and
 * arm64.
 */
import type { LinkType } from '../decode/link_type.ts';
import type { Packet } from './packet_source.ts';

/** The size of the buffer that the add-on fills. It is more than the longest packet takes. */
export const BATCH_BYTES = 131_072;
const HEAD_BYTES = 16;

export interface BatchOptions {
  /** Milliseconds for which the kernel may collect packets; 0: each is handed over at once. */
  collectMs: number;
}

/** Writes the options for a capture that is about to be opened to the start of its buffer. */
export function writeOptions(buffer: Buffer, { collectMs }: BatchOptions): void {
  buffer.writeInt32LE(collectMs, 0);
}

/**
 * Returns the packets in the first `length` bytes of a buffer that begins at a multiple of four bytes in memory. Their
 * data are views of the buffer.
 */
export function readPackets(buffer: Buffer, length: number, linkType: LinkType): Packet[] {
  const packets: Packet[] = [];
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset, length >>> 2);
  for (let at = 0; at + HEAD_BYTES <= length; ) {
    const word = at >>> 2;
    const timeUs = words[word]! * 1_000_000 + words[word + 1]!;
    const captured = words[word + 2]!;
    const wireLength = words[word + 3]!;
    const begin = at + HEAD_BYTES;
    packets.push({ data: buffer.subarray(begin, begin + captured), linkType, timeUs, wireLength });
    at = begin + ((captured + 3) & ~3);
  }
  return packets;
}
