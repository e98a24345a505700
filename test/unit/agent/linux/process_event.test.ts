import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeProcessEvent, encodeListen } from '../../../../agent/linux/process_event.ts';

/** Messages as Linux 6.18 sent them: the answer to a request, then a fork, an exec and an exit. */
const MESSAGES = [
  '4c00000003000000144c0000000000000100000001000000144c00000100000028000000000000000100000008a3914caa160000000000000000000000000000000000000000000000000000',
  '4c00000003000000154c0000000000000100000001000000154c000000000000280000000100000001000000db5c924caa160000822a0000822a0000ab2a0000ab2a00000000000000000000',
  '4c00000003000000164c0000000000000100000001000000164c0000000000002800000002000000010000009f64954caa160000ab2a0000ab2a000000000000000000000000000000000000',
  '4c00000003000000174c0000000000000100000001000000174c00000000000028000000000000800100000005ad9e4caa160000ab2a0000ab2a00000000000011000000822a0000822a0000',
];

function event(what: number, data: number[], timeNs = 24_359_000_000_000n): Buffer {
  const bytes = Buffer.alloc(76);
  bytes.writeUInt32LE(76, 0);
  bytes.writeUInt16LE(3, 4);
  bytes.writeUInt32LE(1, 16);
  bytes.writeUInt32LE(1, 20);
  bytes.writeUInt32LE(what, 36);
  bytes.writeBigUInt64LE(timeNs, 44);
  for (const [i, value] of data.entries()) bytes.writeUInt32LE(value, 52 + 4 * i);
  return bytes;
}

describe('decodeProcessEvent', () => {
  it('reads messages of a kernel', () => {
    const [pid, parentPid] = [0x2aab, 0x2a82];
    assert.deepEqual(
      MESSAGES.map((hex) => decodeProcessEvent(Buffer.from(hex, 'hex'))),
      [
        { kind: 'answer', errno: 0 },
        { kind: 'fork', pid, parentPid, timeNs: 0x16aa4c925cdbn },
        { kind: 'exec', pid, timeNs: 0x16aa4c95649fn },
        { kind: 'exit', pid, timeNs: 0x16aa4c9ead05n },
      ],
    );
  });

  it('tells processes from threads', () => {
    const timeNs = 24_359_000_000_000n;
    assert.equal(decodeProcessEvent(event(1, [400, 400, 501, 500])), null, 'a new thread');
    assert.deepEqual(decodeProcessEvent(event(2, [501, 500])), { kind: 'exec', pid: 500, timeNs });
    assert.deepEqual(decodeProcessEvent(event(0x80000000, [500, 500, 0, 17])), {
      kind: 'exit',
      pid: 500,
      timeNs,
    });
    assert.equal(decodeProcessEvent(event(0x80000000, [501, 500, 0, 17])), null);
    assert.deepEqual(decodeProcessEvent(event(4, [500, 500, 0, 33])), {
      kind: 'uid',
      pid: 500,
      uid: 33,
      timeNs,
    });
    assert.equal(decodeProcessEvent(event(0x200, [500, 500])), null, 'a changed name');
  });

  it('takes any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        decodeProcessEvent(Buffer.from(bytes));
      }),
    );
    const fork = Buffer.from(MESSAGES[1]!, 'hex');
    for (let length = 0; length < fork.length; length++) {
      assert.equal(decodeProcessEvent(fork.subarray(0, length)), null, `${length} bytes`);
    }
  });
});

describe('encodeListen', () => {
  it('is a message to the process connector', () => {
    assert.equal(
      encodeListen(true).toString('hex'),
      '28000000030000000000000000000000010000000100000000000000000000000400000001000000',
    );
    assert.equal(encodeListen(false).readUInt32LE(36), 2);
  });
});
