import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BATCH_BYTES, readPackets, writeOptions } from '../../../../agent/capture/packet_batch.ts';

interface Written {
  seconds: number;
  microseconds: number;
  bytes: number[];
  wireBytes: number;
}

/** Writes packets as cap_build/packet_batches.h does. */
function batchOf(packets: readonly Written[]): Buffer {
  return Buffer.concat(
    packets.map(({ seconds, microseconds, bytes, wireBytes }) => {
      const head = Buffer.alloc(16);
      head.writeUInt32LE(seconds, 0);
      head.writeUInt32LE(microseconds, 4);
      head.writeUInt32LE(bytes.length, 8);
      head.writeUInt32LE(wireBytes, 12);
      return Buffer.concat([head, Buffer.from(bytes), Buffer.alloc(-bytes.length & 3)]);
    }),
  );
}

describe('packets that are read together', () => {
  it('keep their bytes, their length on the wire and the time of the kernel', () => {
    const batch = batchOf([
      { seconds: 1_764_000_000, microseconds: 999_999, bytes: [1, 2, 3, 4, 5], wireBytes: 5 },
      { seconds: 4_000_000_000, microseconds: 0, bytes: [], wireBytes: 60 },
      { seconds: 0, microseconds: 7, bytes: [6, 7, 8, 9], wireBytes: 9_000 },
    ]);
    const packets = readPackets(Buffer.concat([batch, Buffer.alloc(64)]), batch.length, 'LINUX_SLL');
    assert.deepEqual(
      packets.map(({ data, ...rest }) => ({ ...rest, data: [...data] })),
      [
        { linkType: 'LINUX_SLL', timeUs: 1_764_000_000_999_999, wireLength: 5, data: [1, 2, 3, 4, 5] },
        { linkType: 'LINUX_SLL', timeUs: 4_000_000_000_000_000, wireLength: 60, data: [] },
        { linkType: 'LINUX_SLL', timeUs: 7, wireLength: 9_000, data: [6, 7, 8, 9] },
      ],
    );
  });
});

/** Returns the text of a header that the add-on is compiled with. */
const header = (name: string) =>
  readFileSync(new URL(`../../../../agent/capture/cap_build/${name}`, import.meta.url), 'utf8');

describe('the options of a capture', () => {
  it('stand where the header of the add-on reads them', () => {
    const buffer = Buffer.alloc(64, 0xff);
    writeOptions(buffer, { collectMs: 40 });
    assert.equal(buffer.readInt32LE(0), 40);
    const text = header('packet_batches.h');
    const fields = (name: string) =>
      [
        ...new RegExp(`struct ${name} \\{([\\s\\S]*?)\\n\\};`).exec(text)![1]!.matchAll(/^\t(\w+) (\w+);$/gm),
      ].map(([, type, field]) => `${type} ${field}`);
    assert.deepEqual(fields('imdswatch_options'), ['int32_t collect_ms']);
    assert.deepEqual(fields('imdswatch_packet'), [
      'uint32_t seconds',
      'uint32_t microseconds',
      'uint32_t captured_bytes',
      'uint32_t wire_bytes',
    ]);
  });

  it('are for a buffer in which the longest packet has room', () => {
    const number = (name: string, text: string) =>
      Number(new RegExp(`^#define IMDSWATCH_${name} (\\d+)$`, 'm').exec(text)?.[1]);
    assert.equal(number('BATCH_BYTES', header('packet_batches.h')), BATCH_BYTES);
    const longest = number('COLLECTED_SNAP_LENGTH_BYTES', header('snap_length.h'));
    // The longest IP packet, and before it what Linux's cooked capture (16 bytes) and a VLAN tag (4) add.
    assert.ok(longest >= 65_535 + 16 + 4);
    assert.ok(BATCH_BYTES >= longest + 16 + 3);
  });
});
