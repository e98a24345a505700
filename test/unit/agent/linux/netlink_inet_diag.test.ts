import assert from 'node:assert/strict';
import { isIPv6 } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  AF_INET,
  AF_INET6,
  addressBytes,
  decodeAnswer,
  encodeRequest,
  REQUEST_BYTES,
  type SocketId,
} from '../../../../agent/linux/netlink_inet_diag.ts';

const hex = (text: string) => {
  const bytes = addressBytes(text);
  return bytes && Buffer.from(bytes).toString('hex');
};

describe('addresses in text', () => {
  it('IPv4 and IPv6 in all forms of RFC 4291', () => {
    assert.equal(hex('169.254.169.254'), 'a9fea9fe');
    assert.equal(hex('fd00:ec2::254'), 'fd000ec2000000000000000000000254');
    assert.equal(hex('::'), '0'.repeat(32));
    assert.equal(hex('::1'), `${'0'.repeat(31)}1`);
    assert.equal(hex('1::'), `0001${'0'.repeat(28)}`);
    assert.equal(hex('::ffff:169.254.169.254'), '00000000000000000000ffffa9fea9fe');
    assert.equal(hex('1:2:3:4:5:6:1.2.3.4'), '00010002000300040005000601020304');
    for (const wrong of [
      '',
      '1.2.3',
      '1.2.3.256',
      '1:2',
      ':::',
      '1::2::3',
      'x::',
      '1:2:3:4:5:6:7:8:9',
      '::1.2.3',
    ]) {
      assert.equal(addressBytes(wrong), null, wrong);
    }
  });
  it('agrees with the C library on every text', () => {
    const text = fc.stringMatching(/^[0-9a-f:.]{0,24}$/);
    fc.assert(
      fc.property(text, (each) =>
        assert.equal(each.includes(':') && addressBytes(each) !== null, isIPv6(each)),
      ),
      { numRuns: 5000 },
    );
  });
});

const id: SocketId = {
  localAddress: addressBytes('10.0.0.5')!,
  localPort: 40000,
  remoteAddress: addressBytes('169.254.169.254')!,
  remotePort: 80,
};

function answer(sequence: number, family: number, change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(16 + 72);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(20, 4);
  bytes.writeUInt32LE(sequence, 8);
  bytes[16] = family;
  bytes[17] = 2;
  const request = Buffer.alloc(REQUEST_BYTES);
  encodeRequest(request, sequence, family, id, 0);
  request.copy(bytes, 20, 24, 24 + 36);
  bytes.writeUInt32LE(1000, 16 + 4 + 48 + 12);
  bytes.writeUInt32LE(4242, 16 + 4 + 48 + 16);
  change(bytes);
  return bytes;
}

describe('answers', () => {
  for (const family of [AF_INET, AF_INET6]) {
    it(`the socket asked for, in family ${family}`, () => {
      const found = { kind: 'socket', family, state: 2, uid: 1000, inode: 4242, exact: true };
      assert.deepEqual(decodeAnswer(answer(7, family), 7, id), found);
    });
    it(`another socket is not exact, in family ${family}`, () => {
      for (const at of [20, 22, 24 + (family === AF_INET6 ? 15 : 3), 40 + (family === AF_INET6 ? 12 : 0)]) {
        const decoded = decodeAnswer(
          answer(7, family, (bytes) => {
            bytes[at]! ^= 1;
          }),
          7,
          id,
        );
        assert.ok(decoded?.kind === 'socket' && !decoded.exact, String(at));
      }
    });
  }
  it('refusals, other sequences, short and strange messages', () => {
    const refusal = answer(7, AF_INET, (bytes) => {
      bytes.writeUInt16LE(2, 4);
      bytes.writeInt32LE(-2, 16);
    });
    assert.deepEqual(decodeAnswer(refusal, 7, id), { kind: 'error', errno: 2 });
    assert.equal(decodeAnswer(answer(8, AF_INET), 7, id), null);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        decodeAnswer(Buffer.from(bytes), 7, id);
      }),
    );
    for (let length = 0; length < 88; length++) {
      assert.equal(decodeAnswer(answer(7, AF_INET).subarray(0, length), 7, id), null);
    }
  });
});
