/** Tests the decoder on packets that are built from the RFCs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Segment } from '../../../../agent/conversation/segment.ts';
import { decodePacket } from '../../../../agent/decode/decode.ts';
import type { LinkType } from '../../../../agent/decode/link_type.ts';
import { ipv6Text } from '../../../../common/address.ts';
import {
  cooked,
  cooked2,
  ethernet,
  ipv4,
  ipv6,
  loopback,
  tcp,
} from '../../../support/agent/decode/frames.ts';

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

describe('link layers', () => {
  const packets: [string, Buffer, Buffer][] = [
    ['IPv4', ipv4(tcp({ payload: PAYLOAD })), Buffer.from([8, 0])],
    ['IPv6', ipv6(tcp({ payload: PAYLOAD })), Buffer.from([0x86, 0xdd])],
  ];
  for (const [name, packet, type] of packets) {
    const etherType = type.readUInt16BE(0);
    const frames: [string, LinkType, Buffer][] = [
      ['Ethernet', 'ETHERNET', ethernet(packet, etherType)],
      ['802.1Q', 'ETHERNET', ethernet(packet, etherType, [0x8100])],
      ['802.1ad', 'ETHERNET', ethernet(packet, etherType, [0x88a8, 0x8100])],
      ['three tags', 'ETHERNET', ethernet(packet, etherType, [0x9100, 0x9100, 0x8100])],
      ['cooked', 'LINUX_SLL', cooked(packet, etherType)],
      ['cooked, with the tag of a VLAN', 'LINUX_SLL', cooked(packet, etherType, 0x8100)],
      ['cooked, version 2', 'LINUX_SLL2', cooked2(packet, etherType)],
      ['BSD loopback', 'NULL', loopback(packet, etherType === 0x0800 ? 2 : 30)],
      ['OpenBSD loopback', 'LOOP', loopback(packet, etherType === 0x0800 ? 2 : 24)],
      ['raw', 'RAW', packet],
    ];
    for (const [layer, linkType, frame] of frames) {
      it(`${name} in ${layer}`, () => {
        const segment = segmentOf(frame, linkType);
        assert.equal(segment.destinationAddress, name === 'IPv4' ? '169.254.169.254' : 'fd00:ec2::254');
        assert.equal(segment.sourceAddress, name === 'IPv4' ? '10.0.0.7' : '2001:db8::7');
        assert.deepEqual([segment.sourcePort, segment.destinationPort], [40_000, 80]);
        assert.deepEqual(Buffer.from(segment.payload), PAYLOAD);
        assert.equal(segment.payloadCutBytes, 0);
        assert.equal(segment.timeUs, TIME_US);
      });
      it(`${name} in ${layer}, cut anywhere, is cut short or lacks payload`, () => {
        for (let length = 0; length < frame.length; length++) {
          const cut = decode(frame.subarray(0, length), linkType, frame.length);
          if (typeof cut === 'string') assert.equal(cut, 'cut_short', `at ${length}`);
          else assert.equal(cut.payload.length + cut.payloadCutBytes, PAYLOAD.length, `at ${length}`);
        }
      });
    }
  }

  it('other protocols are not losses', () => {
    assert.equal(decode(ethernet(Buffer.alloc(28), 0x0806), 'ETHERNET'), 'not_ip');
    assert.equal(decode(cooked(Buffer.alloc(28), 0x0806), 'LINUX_SLL'), 'not_ip');
    // The capture's filter passes such a frame because it may go to an endpoint, so it counts as a loss.
    assert.equal(decode(cooked(Buffer.alloc(28), 0x0806, 0x8100), 'LINUX_SLL'), 'malformed');
    assert.equal(decode(cooked(Buffer.alloc(28), 0x0800, 0x8100), 'LINUX_SLL'), 'malformed');
    assert.equal(decode(ipv4(Buffer.alloc(8), { protocol: 17 })), 'not_tcp');
    assert.equal(decode(ipv6(Buffer.alloc(8), [], { last: 17 })), 'not_tcp');
    assert.equal(decode(ipv6(Buffer.alloc(0), [], { last: 59 })), 'not_tcp', 'no next header, no bytes');
    assert.equal(decode(Buffer.from([0x50, 0, 0, 0])), 'not_ip', 'version 5');
    assert.equal(decodePacket(Buffer.alloc(60), 'WIFI' as LinkType, TIME_US, 60), 'link_type');
  });
});

it('the hop limit is the one of the packet as captured', () => {
  for (const hops of [1, 2, 63, 255]) {
    assert.equal(segmentOf(ipv4(tcp(), { timeToLive: hops }), 'RAW').hopLimit, hops);
    assert.equal(segmentOf(ipv6(tcp(), [hopByHop(1)], { hopLimit: hops }), 'RAW').hopLimit, hops);
  }
});

describe('the interface of a packet', () => {
  const packet = ipv4(tcp({ payload: PAYLOAD }));
  for (const [linkType, make, typeAt, hardwareAt] of [
    ['LINUX_SLL', cooked, 0, 2],
    ['LINUX_SLL2', cooked2, 10, 8],
  ] as const) {
    it(`is shown by ${linkType}: packet type and hardware type`, () => {
      const deviceOf = (packetType: number, hardware: number) => {
        const frame = Buffer.from(make(packet, 0x0800));
        frame.writeUInt16BE(hardware, hardwareAt);
        if (linkType === 'LINUX_SLL') frame.writeUInt16BE(packetType, typeAt);
        else frame[typeAt] = packetType;
        return segmentOf(frame, linkType).device;
      };
      assert.deepEqual(
        [deviceOf(0, 1), deviceOf(4, 1), deviceOf(0, 772), deviceOf(4, 772), deviceOf(3, 65534)],
        ['arrived', 'left', 'looped', 'looped', 'arrived'],
      );
    });
  }

  it('is not known without a cooked header', () => {
    assert.equal(segmentOf(packet).device, undefined);
  });
});

describe('IPv4', () => {
  it('options are skipped', () => {
    const segment = segmentOf(ipv4(tcp({ payload: PAYLOAD }), { options: Buffer.alloc(40) }));
    assert.deepEqual(Buffer.from(segment.payload), PAYLOAD);
  });
  it('trailing bytes of a short Ethernet frame are no payload', () => {
    const frame = Buffer.concat([ethernet(ipv4(tcp()), 0x0800), Buffer.alloc(6)]);
    assert.equal(segmentOf(frame, 'ETHERNET').payload.length, 0);
  });
  it('fragments are a loss, "do not fragment" is not', () => {
    const body = tcp({ payload: PAYLOAD });
    assert.equal(decode(ipv4(body, { fragment: 0x2000 })), 'ip_fragment', 'the first of several');
    assert.equal(decode(ipv4(body, { fragment: 0x0001 })), 'ip_fragment', 'the last');
    assert.equal(typeof decode(ipv4(body, { fragment: 0x0000 })), 'object');
    assert.equal(typeof decode(ipv4(body, { fragment: 0x4000 })), 'object');
  });
  it('total length 0 (before segmentation offload) reaches to the end of the packet', () => {
    const big = Buffer.alloc(70_000, 0x61);
    for (const [linkType, frame] of [
      ['RAW', ipv4(tcp({ payload: big }), { totalLength: 0 })],
      ['LINUX_SLL', cooked(ipv4(tcp({ payload: big }), { totalLength: 0 }), 0x0800)],
    ] as const) {
      assert.equal(segmentOf(frame, linkType).payload.length, 70_000);
      const cut = segmentOf(frame.subarray(0, 65_535), linkType, frame.length);
      assert.equal(cut.payload.length + cut.payloadCutBytes, 70_000);
    }
  });
  it('lengths that contradict each other are malformed', () => {
    const packet = ipv4(tcp({ payload: PAYLOAD }));
    packet[0] = 0x44;
    assert.equal(decode(packet), 'malformed', 'header of 16 bytes');
    assert.equal(decode(ipv4(tcp(), { totalLength: 19 })), 'malformed');
    assert.equal(decode(ipv4(tcp(), { totalLength: 39 })), 'malformed', 'no room for a TCP header');
    const shortTcp = tcp();
    shortTcp[12] = 0x40;
    assert.equal(decode(ipv4(shortTcp)), 'malformed', 'TCP header of 16 bytes');
    const longTcp = tcp();
    longTcp[12] = 0xf0;
    assert.equal(decode(ipv4(longTcp)), 'malformed', 'TCP header beyond the packet');
  });
});

describe('IPv6', () => {
  it('extension headers are skipped', () => {
    const authentication = Buffer.alloc(24);
    authentication[1] = 4; // (24 / 4) - 2
    const fragment = Buffer.alloc(8);
    const headers = [
      hopByHop(1),
      { protocol: 60, bytes: hopByHop(2).bytes },
      { protocol: 43, bytes: hopByHop(3).bytes },
      { protocol: 44, bytes: fragment },
      { protocol: 51, bytes: authentication },
      { protocol: 60, bytes: hopByHop(1).bytes },
    ];
    for (let count = 0; count <= headers.length; count++) {
      const packet = ipv6(tcp({ payload: PAYLOAD }), headers.slice(0, count));
      assert.deepEqual(Buffer.from(segmentOf(packet).payload), PAYLOAD, `${count} headers`);
      for (let length = 0; length < packet.length; length++) {
        const cut = decode(packet.subarray(0, length), 'RAW', packet.length);
        if (typeof cut === 'string') assert.equal(cut, 'cut_short', `${count} headers cut at ${length}`);
      }
    }
  });
  it('fragments are a loss, an atomic fragment is whole', () => {
    const first = Buffer.alloc(8);
    first.writeUInt16BE(1, 2);
    const last = Buffer.alloc(8);
    last.writeUInt16BE(8, 2);
    for (const bytes of [first, last]) {
      assert.equal(decode(ipv6(tcp({ payload: PAYLOAD }), [{ protocol: 44, bytes }])), 'ip_fragment');
    }
  });
  it('payload length 0 reaches to the end of the packet', () => {
    const big = Buffer.alloc(70_000, 0x61);
    assert.equal(segmentOf(ipv6(tcp({ payload: big }), [], { payloadLength: 0 })).payload.length, 70_000);
  });
  it('endless extension headers end', () => {
    assert.equal(
      decode(
        ipv6(
          tcp(),
          Array.from({ length: 9 }, () => hopByHop(1)),
        ),
      ),
      'malformed',
    );
  });
  it('addresses have the form of RFC 5952', () => {
    const cases: [number[], string][] = [
      [[0, 0, 0, 0, 0, 0, 0, 0], '::'],
      [[0, 0, 0, 0, 0, 0, 0, 1], '::1'],
      [[1, 0, 0, 0, 0, 0, 0, 0], '1::'],
      [[0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 'fd00:ec2::254'],
      [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], '2001:db8:0:1:1:1:1:1'],
      [[0x2001, 0, 0, 1, 0, 0, 0, 1], '2001:0:0:1::1'],
      [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], '2001:db8::1:0:0:1'],
      [[0xfe80, 0, 0, 0, 0xabcd, 0, 0, 0xf], 'fe80::abcd:0:0:f'],
    ];
    for (const [groups, text] of cases) {
      const bytes = Buffer.alloc(16);
      groups.forEach((group, index) => void bytes.writeUInt16BE(group, index * 2));
      assert.equal(ipv6Text(bytes, 0), text);
    }
  });
});

describe('checksums', () => {
  const payloads = [PAYLOAD, PAYLOAD.subarray(0, 7), Buffer.alloc(0), Buffer.alloc(9_000, 0xff)];
  it('a packet that its receiver drops gives no segment', () => {
    for (const payload of payloads) {
      for (const flags of [2, 4, 0x10, 0x11]) {
        const segment = tcp({ payload, flags, options: Buffer.alloc(12, 1) });
        assert.equal(decode(ipv4(segment, { tcpChecksum: 'wrong' })), 'bad_checksum');
        assert.equal(decode(ipv6(segment, [], { tcpChecksum: 'wrong' })), 'bad_checksum');
        assert.equal(decode(ipv6(segment, [hopByHop(1)], { tcpChecksum: 'wrong' })), 'bad_checksum');
      }
    }
    assert.equal(decode(ipv4(tcp(), { isDamaged: true })), 'bad_checksum', 'of the IP header');
    assert.equal(decode(ipv4(tcp(), { isDamaged: true, options: Buffer.alloc(8, 1) })), 'bad_checksum');
  });
  it('a checksum that the network card fills in later is accepted', () => {
    for (const payload of payloads) {
      const segment = tcp({ payload });
      assert.equal(typeof decode(ipv4(segment, { tcpChecksum: 'partial' })), 'object');
      assert.equal(typeof decode(ipv6(segment, [hopByHop(1)], { tcpChecksum: 'partial' })), 'object');
    }
    const large = tcp({ payload: Buffer.alloc(70_000, 0x61) });
    assert.equal(typeof decode(ipv4(large, { tcpChecksum: 'partial', totalLength: 0 })), 'object');
    assert.equal(typeof decode(ipv6(large, [], { tcpChecksum: 'partial', payloadLength: 0 })), 'object');
    assert.equal(decode(ipv4(large, { tcpChecksum: 'wrong', totalLength: 0 })), 'bad_checksum');
  });
  it('a checksum over cut bytes cannot be verified', () => {
    const packet = ipv4(tcp({ payload: PAYLOAD }), { tcpChecksum: 'wrong' });
    assert.equal(typeof decode(packet.subarray(0, packet.length - 1), 'RAW', packet.length), 'object');
  });
  it('a packet with another version than its link layer is dropped', () => {
    assert.equal(decode(ethernet(ipv6(tcp()), 0x0800), 'ETHERNET'), 'not_ip');
    assert.equal(decode(cooked(ipv4(tcp()), 0x86dd), 'LINUX_SLL'), 'not_ip');
  });
});
