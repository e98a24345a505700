/** Tests the kernel's packet filter, compiled by libpcap itself. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { clientSideFilter, cookedEndpointFilter, endpointFilter } from '../../../../agent/capture/filter.ts';
import { ENDPOINT_SERVICES, ENDPOINTS, type EndpointService } from '../../../../protocol/endpoints.ts';
import { pcap } from '../../../support/agent/capture/capture_files.ts';
import { cooked, ipv4, ipv6, tcp } from '../../../support/agent/decode/frames.ts';

const skip = spawnSync('tcpdump', ['--version']).error ? 'tcpdump is not installed' : false;
/** Builds an IPv6 header (RFC 8200, section 3). */
const IPV6_SOURCE_OFFSET = 8;
const IPV6_DESTINATION_OFFSET = 24;
/** Builds a cooked frame (LINKTYPE_LINUX_SLL). */
const LINUX_SLL = 113;
const NEIGHBOURS = ['169.254.170.3', '169.254.169.253', 'fd00:ec2::24'];

function bytesOf(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number);
  const [head, tail] = address
    .split('::')
    .map((part) => part.split(':').map((word) => Number.parseInt(word, 16)));
  const words = [...head!, ...new Array(8 - head!.length - tail!.length).fill(0), ...tail!];
  return words.flatMap((word) => [word >> 8, word & 255]);
}

function packetTo(address: string): Buffer {
  if (!address.includes(':')) return ipv4(tcp(), { destination: bytesOf(address) });
  const packet = ipv6(tcp());
  packet.set(bytesOf(address), IPV6_DESTINATION_OFFSET);
  return packet;
}

function packetFrom(address: string): Buffer {
  if (!address.includes(':')) return ipv4(tcp(), { source: bytesOf(address), destination: [10, 0, 0, 1] });
  const packet = ipv6(tcp());
  packet.set(bytesOf(address), IPV6_SOURCE_OFFSET);
  packet.set(bytesOf('fd00::1'), IPV6_DESTINATION_OFFSET);
  return packet;
}

/** Returns how many packets the filter passes, with one packet for each address. */
function passing(addresses: string[], services: readonly EndpointService[]): number {
  return counted(pcap(addresses.map((address) => ({ data: packetTo(address) }))), endpointFilter(services));
}

function counted(file: Buffer, filter: string): number {
  const { stdout, status, stderr } = spawnSync(
    'tcpdump',
    ['-r', '-', '-n', '--count', '-Z', 'root', filter],
    { input: file, encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  return Number(/^(\d+) packet/m.exec(stdout)?.[1]);
}

/** Returns the same for cooked frames without a tag, with a tag, and with the type of a removed tag. */
function passingCooked(addresses: string[], services: readonly EndpointService[]): number[] {
  return [undefined, 0x8100, 0x88a8, 'gone'].map((tag) => {
    const frames = addresses.map((address) => {
      const type = address.includes(':') ? 0x86dd : 0x0800;
      if (typeof tag === 'string') return { data: cooked(packetTo(address), 0x8100) };
      return { data: cooked(packetTo(address), type, tag) };
    });
    return counted(pcap(frames, { network: LINUX_SLL }), cookedEndpointFilter(services));
  });
}

describe('the filter', { skip }, () => {
  for (const services of [['imds'], ['ecs'], ['eks'], ['imds', 'ecs'], ENDPOINT_SERVICES] as const) {
    it(`of ${services.join(', ')} passes their packets and no others`, () => {
      const isChosen = ({ service }: { service: EndpointService }) =>
        (services as readonly EndpointService[]).includes(service);
      const chosen = ENDPOINTS.filter(isChosen).map(({ address }) => address);
      const others = ENDPOINTS.filter((each) => !isChosen(each)).map(({ address }) => address);
      assert.equal(passing(chosen, services), chosen.length);
      assert.equal(passing([...others, ...NEIGHBOURS], services), 0);
      assert.deepEqual(passingCooked(chosen, services), new Array(4).fill(chosen.length));
      assert.deepEqual(passingCooked([...others, ...NEIGHBOURS], services), [0, 0, 0, 0]);
    });
  }

  it('passes only calls to another namespace, in one that has the address itself', () => {
    const INCOMING = 0;
    const OUTGOING = 4;
    for (const address of ['169.254.169.254', 'fd00:ec2::254']) {
      const type = address.includes(':') ? 0x86dd : 0x0800;
      const seen = (['to', 'from'] as const).flatMap((side) =>
        [INCOMING, OUTGOING].map((direction) => {
          const frame = cooked(side === 'to' ? packetTo(address) : packetFrom(address), type);
          frame.writeUInt16BE(direction, 0);
          return counted(pcap([{ data: frame }], { network: LINUX_SLL }), clientSideFilter(['imds']));
        }),
      );
      assert.deepEqual(seen, [0, 1, 1, 0], address);
    }
  });

  it('passes frames with two tags, which the decoder checks', () => {
    const stacked = cooked(cooked(packetTo('169.254.169.254'), 0x0800, 0x8100).subarray(16), 0x8100, 0x8100);
    assert.equal(
      counted(pcap([{ data: stacked }], { network: LINUX_SLL }), cookedEndpointFilter(['imds'])),
      1,
    );
  });
});
