/** Tests capture files of every kind, and files that are no capture files. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import { FileSource } from '../../../../agent/capture/file_source.ts';
import type { Packet } from '../../../../agent/capture/packet_source.ts';
import { OperatorError } from '../../../../common/operator_error.ts';
import type { Counters } from '../../../../protocol/records.ts';
import { PcapngBlocks, pcap } from '../../../support/agent/capture/capture_files.ts';

const TIME_US = 1_780_000_000_123_456;
const TICKS_US = BigInt(TIME_US);
const DATA = Buffer.from('five!');

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'imdswatch-file-source-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function read(bytes: Uint8Array): { packets: Packet[]; counters: Counters } {
  const path = join(directory, 'capture');
  writeFileSync(path, bytes);
  const source = new FileSource(path);
  const packets: Packet[] = [];
  source.start(([packet]) => packets.push({ ...packet!, data: Buffer.from(packet!.data) }));
  assert.equal(source.live, false);
  return { packets, counters: source.counters() };
}

const one = (extra: Partial<Packet> = {}): Packet => ({
  data: DATA,
  linkType: 'RAW',
  timeUs: TIME_US,
  wireLength: DATA.length,
  ...extra,
});

describe('pcap', () => {
  for (const little of [true, false]) {
    for (const nano of [false, true]) {
      it(`${little ? 'little' : 'big'} endian, ${nano ? 'nano' : 'micro'}seconds`, () => {
        const records = [
          { timeUs: TIME_US, data: DATA },
          { timeUs: TIME_US + 1, data: DATA, wireLength: 1_500 },
        ];
        const { packets, counters } = read(pcap(records, { little, nano }));
        assert.deepEqual(packets, [one(), one({ timeUs: TIME_US + 1, wireLength: 1_500 })]);
        assert.equal(counters['packets'], 2);
        assert.equal(counters['cut'], 1);
        assert.equal(counters['damaged'], 0);
      });
    }
  }
  it('has every link type that can be decoded, by its number', () => {
    const types = {
      0: 'NULL',
      1: 'ETHERNET',
      12: 'RAW',
      101: 'RAW',
      108: 'LOOP',
      113: 'LINUX_SLL',
      228: 'RAW',
      229: 'RAW',
      276: 'LINUX_SLL2',
    };
    for (const [network, linkType] of Object.entries(types)) {
      const file = pcap([{ timeUs: TIME_US, data: DATA }], { network: Number(network) });
      assert.deepEqual(read(file).packets, [one({ linkType: linkType as Packet['linkType'] })]);
    }
  });
  it('has frame check sequence bits beside the link type that are not part of it', () => {
    const file = pcap([{ timeUs: TIME_US, data: DATA }], { network: 0x5400_0001 });
    assert.equal(read(file).packets[0]?.linkType, 'ETHERNET');
  });
  it('with a link type that cannot be decoded is counted', () => {
    const { packets, counters } = read(pcap([{ data: DATA }], { network: 105 }));
    assert.equal(packets.length, 0);
    assert.equal(counters['unknown_link_type'], 1);
  });
  it('cut off anywhere delivers its whole packets, and the cut is counted once', () => {
    const whole = pcap([
      { timeUs: TIME_US, data: DATA },
      { timeUs: TIME_US, data: DATA },
    ]);
    const record = 16 + DATA.length;
    for (let length = 4; length < whole.length; length++) {
      const { packets, counters } = read(whole.subarray(0, length));
      const expected = Math.max(0, Math.floor((length - 24) / record));
      assert.equal(packets.length, expected, `at ${length}`);
      const isClean = length >= 24 && (length - 24) % record === 0;
      assert.equal(counters['damaged'], isClean ? 0 : 1, `at ${length}`);
    }
  });
  it('ends at a packet that is longer than possible', () => {
    const file = pcap([{ timeUs: TIME_US, data: DATA }, { data: DATA }]);
    file.writeUInt32LE(0xffff_fff0, 24 + 16 + DATA.length + 8);
    const { packets, counters } = read(file);
    assert.equal(packets.length, 1);
    assert.equal(counters['damaged'], 1);
  });
  it('may be larger than one piece of reading', () => {
    const data = Buffer.alloc(60_000, 0x61);
    const records = Array.from({ length: 60 }, (_, n) => ({ timeUs: TIME_US + n, data }));
    const { packets } = read(pcap(records));
    assert.equal(packets.length, 60);
    assert.deepEqual(
      packets.map(({ timeUs }) => timeUs - TIME_US),
      records.map((_, n) => n),
    );
    assert.ok(packets.every((packet) => Buffer.compare(packet.data, data) === 0));
  });
});

describe('pcapng', () => {
  for (const little of [true, false]) {
    it(`${little ? 'little' : 'big'} endian has several interfaces, each with its link type and clock`, () => {
      const ng = new PcapngBlocks(little);
      const { packets, counters } = read(
        Buffer.concat([
          ng.section(),
          ng.interface(1, { name: 'eth0' }),
          ng.interface(113, { tsresol: 9 }),
          ng.interface(276, { tsresol: 0x80 | 10 }),
          ng.interface(101, { tsresol: 6, tsoffset: 1_000n }),
          ng.interface(101, { tsresol: 0 }),
          ng.interface(101, { tsoffset: -1_000n }),
          ng.enhanced(0, TICKS_US, DATA),
          ng.enhanced(1, TICKS_US * 1_000n, DATA, 9_000),
          ng.enhanced(2, 1_780_000_000n * 1_024n + 512n, DATA),
          ng.enhanced(3, TICKS_US - 1_000_000_000n, DATA),
          ng.enhanced(4, 1_780_000_000n, DATA),
          ng.enhanced(5, TICKS_US + 1_000_000_000n, DATA),
          ng.obsolete(3, TICKS_US - 1_000_000_000n, DATA),
        ]),
      );
      assert.deepEqual(packets, [
        one({ linkType: 'ETHERNET' }),
        one({ linkType: 'LINUX_SLL', wireLength: 9_000 }),
        one({ linkType: 'LINUX_SLL2', timeUs: 1_780_000_000_500_000 }),
        one(),
        one({ timeUs: 1_780_000_000_000_000 }),
        one(),
        one(),
      ]);
      assert.equal(counters['damaged'], 0);
    });
  }
  it('has its own interfaces and byte order in each section', () => {
    const a = new PcapngBlocks(true);
    const b = new PcapngBlocks(false);
    const { packets, counters } = read(
      Buffer.concat([
        a.section(),
        a.interface(1),
        a.enhanced(0, TICKS_US, DATA),
        b.section(),
        b.interface(101),
        b.enhanced(0, TICKS_US, DATA),
        b.enhanced(1, TICKS_US, DATA),
      ]),
    );
    assert.deepEqual(
      packets.map(({ linkType }) => linkType),
      ['ETHERNET', 'RAW'],
    );
    assert.equal(counters['damaged'], 1, 'a packet of an interface that was never described');
  });
  it('has simple packets without time, bounded by the snap length, with padding that is no data', () => {
    const ng = new PcapngBlocks(true);
    const { packets } = read(
      Buffer.concat([
        ng.section(),
        ng.interface(101, { snap: 6 }),
        ng.simple(DATA),
        ng.simple(Buffer.from('sixsix'), 1_000),
      ]),
    );
    assert.deepEqual(packets, [
      one({ timeUs: 0 }),
      one({ timeUs: 0, data: Buffer.from('sixsix'), wireLength: 1_000 }),
    ]);
  });
  it('has other blocks, which are skipped and counted', () => {
    const ng = new PcapngBlocks(true);
    const { packets, counters } = read(
      Buffer.concat([
        ng.section(),
        ng.interface(101),
        ng.block(4, DATA),
        ng.block(5, DATA),
        ng.enhanced(0, TICKS_US, DATA),
      ]),
    );
    assert.equal(packets.length, 1);
    assert.equal(counters['skipped_blocks'], 2);
  });
  it('cut off anywhere or with a wrong length is counted and never loops', () => {
    const ng = new PcapngBlocks(true);
    const blocks = [
      ng.section(),
      ng.interface(101),
      ng.enhanced(0, TICKS_US, DATA),
      ng.enhanced(0, TICKS_US, DATA),
    ];
    const ends = blocks.map((_, n) => Buffer.concat(blocks.slice(0, n + 1)).length);
    const whole = Buffer.concat(blocks);
    for (let length = 4; length < whole.length; length++) {
      const { packets, counters } = read(whole.subarray(0, length));
      assert.equal(packets.length, ends.slice(2).filter((end) => end <= length).length, `at ${length}`);
      assert.equal(counters['damaged'], ends.includes(length) ? 0 : 1, `at ${length}`);
    }
    for (const length of [0, 4, 8, 13, 0xffff_fff0]) {
      const damaged = Buffer.from(whole);
      damaged.writeUInt32LE(length, ends[1]! + 4);
      assert.equal(read(damaged).counters['damaged'], 1, `block of ${length} bytes`);
    }
    const lying = Buffer.from(whole);
    lying.writeUInt32LE(4_000, ends[1]! + 8 + 12);
    assert.deepEqual([read(lying).packets.length, read(lying).counters['damaged']], [1, 1]);
  });
});

describe('a file that is no capture file', () => {
  const refused = (path: string, code: number, words: RegExp) =>
    assert.throws(
      () => new FileSource(path).start(() => {}),
      (error) => error instanceof OperatorError && error.exitCode === code && words.test(error.message),
    );
  it('is rejected with its name', () => {
    refused(join(directory, 'missing'), 2, /missing cannot be read/);
    mkdirSync(join(directory, 'folder'));
    refused(join(directory, 'folder'), 2, /folder cannot be read/);
    for (const bytes of ['', 'PCAP', 'a text file\n', '\n\r\r']) {
      writeFileSync(join(directory, 'other'), bytes);
      refused(join(directory, 'other'), 2, /other is (empty|no pcap)/);
    }
    writeFileSync(join(directory, 'other'), Buffer.from('0a0d0d0a1c0000004d3c2b1b', 'hex'));
    refused(join(directory, 'other'), 2, /other is no pcap/);
  });
  it('of any bytes gives packets, counters or an OperatorError', () => {
    const ng = new PcapngBlocks(true);
    const beginnings = [
      Buffer.alloc(0),
      pcap([]),
      pcap([{ timeUs: TIME_US, data: DATA }], { little: false, nano: true }),
      Buffer.concat([ng.section(), ng.interface(101, { tsresol: 9, tsoffset: 1n })]),
      Buffer.concat([ng.section(), ng.interface(1), ng.enhanced(0, TICKS_US, DATA), ng.simple(DATA)]),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...beginnings),
        fc.uint8Array({ maxLength: 120 }),
        fc.array(fc.tuple(fc.nat(160), fc.nat(255)), { maxLength: 4 }),
        (beginning, more, damage) => {
          const bytes = Buffer.concat([beginning, more]);
          for (const [at, value] of damage) if (at < bytes.length) bytes[at] = value;
          try {
            for (const { data, timeUs, wireLength } of read(bytes).packets) {
              assert.ok(Number.isSafeInteger(timeUs) && timeUs >= 0, `time ${timeUs}`);
              assert.ok(wireLength >= data.length);
            }
          } catch (error) {
            assert.ok(error instanceof OperatorError, String(error));
          }
        },
      ),
      { numRuns: 3_000 },
    );
  });
});
