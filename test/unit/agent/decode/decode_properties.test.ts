/** Tests the decoder on any bytes and on damaged packets. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Segment } from '../../../../agent/conversation/segment.ts';
import { decodePacket } from '../../../../agent/decode/decode.ts';
import type { LinkType } from '../../../../agent/decode/link_type.ts';
import { ipv4, ipv6, tcp } from '../../../support/agent/decode/frames.ts';

const LINK_TYPES: LinkType[] = ['ETHERNET', 'LINUX_SLL', 'LINUX_SLL2', 'RAW', 'NULL', 'LOOP'];
const TIME_US = 1_780_000_000_000_000;
const PAYLOAD = Buffer.from('GET / HTTP/1.1\r\n\r\n');

function decode(data: Uint8Array, linkType: LinkType = 'RAW', wireLength = data.length) {
  return decodePacket(data, linkType, TIME_US, wireLength);
}

function segmentOf(data: Uint8Array, linkType: LinkType = 'RAW', wireLength = data.length): Segment {
  const decoded = decode(data, linkType, wireLength);
  assert.equal(typeof decoded, 'object', `a segment, not ${String(decoded)}`);
  return decoded as Segment;
}

function hopByHop(words: number): { protocol: number; bytes: Uint8Array } {
  const bytes = Buffer.alloc(8 * words);
  bytes[1] = words - 1;
  return { protocol: 0, bytes };
}

describe('properties', () => {
  it('any bytes give a segment or a reason, and never throw', () => {
    const bytes = fc.uint8Array({ maxLength: 200 });
    // Pure noise nearly always fails at the version, so half of the cases begin like a packet.
    const packetLike = fc
      .tuple(fc.constantFrom(0x45, 0x46, 0x4f, 0x60, 0x6f), bytes)
      .map(([first, rest]) => Uint8Array.from([first, ...rest]));
    fc.assert(
      fc.property(
        fc.oneof(bytes, packetLike),
        fc.constantFrom(...LINK_TYPES),
        fc.nat(100_000),
        (data, linkType, more) => {
          const result = decodePacket(data, linkType, TIME_US, data.length + more);
          if (typeof result === 'string') return;
          assert.ok(result.payload.length <= data.length);
          assert.ok(result.payloadCutBytes >= 0);
        },
      ),
      { numRuns: 5_000 },
    );
  });

  it('a packet with damaged bytes or a cut end never throws', () => {
    const packets = [ipv4(tcp({ payload: PAYLOAD })), ipv6(tcp({ payload: PAYLOAD }), [hopByHop(2)])];
    fc.assert(
      fc.property(
        fc.constantFrom(...packets),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
        fc.nat(110),
        (packet, damage, length) => {
          const copy = Buffer.from(packet.subarray(0, length));
          for (const [at, value] of damage) if (at < copy.length) copy[at] = value;
          decodePacket(copy, 'RAW', TIME_US, packet.length);
        },
      ),
      { numRuns: 5_000 },
    );
  });

  it('a built packet is decoded to its values', () => {
    const uint16 = fc.nat(0xffff);
    const uint32 = fc.nat(0xffff_ffff);
    fc.assert(
      fc.property(
        fc.record({
          sourcePort: uint16,
          destinationPort: uint16,
          seq: uint32,
          ack: uint32,
          flags: fc.nat(255),
          window: uint16,
          payload: fc.uint8Array({ maxLength: 300 }),
          options: fc.nat(10).chain((words) => fc.uint8Array({ minLength: words * 4, maxLength: words * 4 })),
        }),
        fc.constantFrom<'4' | '6'>('4', '6'),
        (parts, version) => {
          const packet = version === '4' ? ipv4(tcp(parts)) : ipv6(tcp(parts));
          const segment = segmentOf(packet);
          const { options, payload, ...rest } = parts;
          assert.deepEqual(Buffer.from(segment.payload), Buffer.from(payload));
          assert.deepEqual(Buffer.from(segment.options), Buffer.from(options));
          for (const [key, value] of Object.entries(rest)) {
            assert.equal(segment[key as keyof typeof rest], value, key);
          }
        },
      ),
    );
  });
});
