/** Tests the messages of ctnetlink and the table in /proc, by bytes and text. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  decodeConntrackAnswer,
  encodeConntrackRequest,
  type PacketTuple,
  packetTuple,
} from '../../../../agent/linux/netlink_conntrack.ts';
import { replyInTable } from '../../../../agent/linux/proc_conntrack.ts';

const ASKED = packetTuple('172.31.99.2', 43210, '169.254.169.254', 80)!;
const REPLY = packetTuple('127.0.0.1', 15001, '172.31.99.2', 43210)!;

/** The kernel's answer has the tuple of the request, and the same tuple with other values as CTA_TUPLE_REPLY. */
function answerOf(sequence: number, original: PacketTuple, reply: PacketTuple): Buffer {
  const [first, second] = [original, reply].map((tuple) => encodeConntrackRequest(sequence, tuple));
  const replyAttribute = Buffer.from(second!.subarray(20));
  replyAttribute.writeUInt16LE(2 | 0x8000, 2);
  const bytes = Buffer.concat([first!, replyAttribute]);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt16LE(0x100, 4);
  return bytes;
}

describe('ctnetlink', () => {
  it('asks for exactly one connection', () => {
    assert.equal(
      encodeConntrackRequest(7, packetTuple('10.0.0.1', 1234, '10.0.0.2', 80)!).toString('hex'),
      '48000000010101000700000000000000' + // 72 bytes, IPCTNL_MSG_CT_GET of ctnetlink, NLM_F_REQUEST, sequence 7
        '02000000' + // AF_INET
        '34000180' + // CTA_TUPLE_ORIG
        '14000180' +
        '08000100' +
        '0a000001' +
        '08000200' +
        '0a000002' + // addresses
        '1c000280' +
        '0500010006000000' +
        '0600020004d20000' +
        '0600030000500000', // TCP, ports
    );
  });

  it('reads the tuple of the packets that come back', () => {
    const answer = decodeConntrackAnswer(answerOf(9, ASKED, REPLY), 9, ASKED);
    assert.ok(answer?.kind === 'found');
    assert.deepEqual([[...answer.reply.source], answer.reply.sourcePort], [[127, 0, 0, 1], 15001]);
  });

  it('reads IPv6', () => {
    const asked = packetTuple('fd98::2', 5, 'fd00:ec2::254', 80)!;
    const reply = packetTuple('::1', 15001, 'fd98::2', 5)!;
    const answer = decodeConntrackAnswer(answerOf(1, asked, reply), 1, asked);
    assert.ok(
      answer?.kind === 'found' && answer.reply.source.length === 16 && answer.reply.sourcePort === 15001,
    );
  });

  it('takes no answer to another request and none about another connection', () => {
    assert.equal(decodeConntrackAnswer(answerOf(8, ASKED, REPLY), 9, ASKED), null);
    assert.deepEqual(decodeConntrackAnswer(answerOf(9, REPLY, REPLY), 9, ASKED), {
      kind: 'refused',
      errno: 0,
    });
  });

  it('tells an unknown connection from a refusal', () => {
    const error = (errno: number) => {
      const bytes = Buffer.alloc(36);
      bytes.writeUInt32LE(36, 0);
      bytes.writeUInt16LE(2, 4);
      bytes.writeUInt32LE(3, 8);
      bytes.writeInt32LE(-errno, 16);
      return decodeConntrackAnswer(bytes, 3, ASKED);
    };
    assert.deepEqual([error(2), error(1)], [{ kind: 'absent' }, { kind: 'refused', errno: 1 }]);
  });

  it('survives any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(150), (noise, at) => {
        const bytes = answerOf(9, ASKED, REPLY);
        bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length));
        const answer = decodeConntrackAnswer(bytes, 9, ASKED);
        assert.ok(answer === null || ['found', 'absent', 'refused'].includes(answer.kind));
      }),
    );
  });
});

describe('the table of connections', () => {
  const TABLE = [
    'ipv4     2 udp      17 29 src=172.31.99.2 dst=169.254.169.254 sport=43210 dport=80 src=1.2.3.4 dst=172.31.99.2 sport=1 dport=43210 mark=0 zone=0 use=2',
    'ipv4     2 tcp      6 431999 ESTABLISHED src=172.31.99.3 dst=169.254.169.254 sport=43210 dport=80 src=9.9.9.9 dst=172.31.99.3 sport=9 dport=43210 [ASSURED] mark=0 zone=0 use=2',
    'ipv4     2 tcp      6 119 TIME_WAIT src=172.31.99.2 dst=169.254.169.254 sport=43210 dport=80 src=127.0.0.1 dst=172.31.99.2 sport=15001 dport=43210 [ASSURED] mark=0 zone=0 use=2',
    '',
  ].join('\n');

  it('has the tuple of the packets that come back', () => {
    assert.deepEqual(replyInTable(TABLE, ASKED), REPLY);
    assert.equal(replyInTable(TABLE, packetTuple('172.31.99.2', 43211, '169.254.169.254', 80)!), null);
    assert.equal(replyInTable('', ASKED), null);
  });
});
