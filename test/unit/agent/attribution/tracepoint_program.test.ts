import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AddressTexts } from '../../../../agent/attribution/ebpf_address.ts';
import {
  RECORD_BYTES,
  RECORD_LAYOUT,
  tracepointProgram,
  UnknownTracepoint,
} from '../../../../agent/attribution/tracepoint_program.ts';
import { tracepointRecord } from '../../../../agent/attribution/tracepoint_records.ts';
import { Assembler } from '../../../../agent/linux/bpf_instructions.ts';
import { parseTracepointFormat, type TracepointFormat } from '../../../../agent/linux/tracepoint_format.ts';
import { run } from '../../../support/agent/attribution/bpf_machine.ts';
import { FORMAT_6_18 } from '../../../support/agent/attribution/tracepoint_formats.ts';

const IMDS = Buffer.from('00000000000000000000ffffa9fea9fe', 'hex');
const IMDS_IPV6 = Buffer.from('fd000ec2000000000000000000000254', 'hex');
const CLIENT = Buffer.from('00000000000000000000ffff0a000007', 'hex');
const MAPS = { records: 11, lost: 12 };
const [ESTABLISHED, SYN_SENT, FIN_WAIT1, CLOSE] = [1, 2, 4, 7];

const format = parseTracepointFormat(FORMAT_6_18)!;

/** The tracepoint's record as a kernel with this format writes it. */
function context(of: TracepointFormat, values: Record<string, number | bigint | Buffer>): Buffer {
  const bytes = Buffer.alloc(256);
  const all = {
    protocol: 6,
    family: 2,
    sport: 0,
    dport: 80,
    skaddr: 0xffff888012345678n,
    oldstate: 7,
    ...values,
  };
  for (const [name, value] of Object.entries({
    saddr_v6: CLIENT,
    daddr_v6: IMDS,
    newstate: SYN_SENT,
    ...all,
  })) {
    const field = of.fields.get(name);
    if (field === undefined) continue;
    if (typeof value === 'object') value.copy(bytes, field.offset);
    else if (field.size === 8) bytes.writeBigUInt64LE(BigInt(value), field.offset);
    else bytes.writeUIntLE(Number(value), field.offset, field.size);
  }
  return bytes;
}

function recordOf(values: Record<string, number | bigint | Buffer>, of = format, hasCgroupId = true) {
  const program = tracepointProgram(of, [IMDS, IMDS_IPV6], MAPS, hasCgroupId);
  const { output, lost } = run(program, context(of, values), MAPS);
  assert.deepEqual(lost, []);
  if (output === null) return null;
  assert.equal(output.length, RECORD_BYTES);
  return tracepointRecord(output, new AddressTexts());
}

describe('the tracepoint program', () => {
  const tuple = {
    ...{ localAddress: '10.0.0.7', localPort: 0 },
    ...{ remoteAddress: '169.254.169.254', remotePort: 80 },
  };

  it('records the caller when a socket begins to connect', () => {
    assert.deepEqual(recordOf({ newstate: SYN_SENT }), {
      kind: 'begun',
      socket: 0x1f888012345678,
      timeNs: 123_456_789n,
      tuple,
      // The values of the helpers in the test's machine.
      caller: { pid: 4_242, tid: 4_243, realUid: 1_000, cgroupId: 777n, name: 'curl' },
    });
    assert.equal(recordOf({}, format, false)?.caller?.cgroupId, null);
  });

  it('records the port when it is established, and its end', () => {
    const established = recordOf({ newstate: ESTABLISHED, oldstate: SYN_SENT, sport: 54_321 });
    assert.equal(established?.kind, 'established');
    assert.deepEqual(established.tuple, { ...tuple, localPort: 54_321 });
    assert.equal(established.caller, null, 'anybody may be the current process then');
    assert.equal(recordOf({ newstate: CLOSE, oldstate: SYN_SENT })?.kind, 'failed');
    assert.equal(recordOf({ newstate: CLOSE, oldstate: FIN_WAIT1 })?.kind, 'closed');
  });

  it('reports nothing about other sockets and states', () => {
    assert.equal(recordOf({ newstate: FIN_WAIT1 }), null);
    assert.equal(recordOf({ dport: 8080 }), null);
    assert.equal(recordOf({ protocol: 132 }), null);
    for (let at = 0; at < 16; at++) {
      const other = Buffer.from(IMDS);
      other[at]! ^= 0x80;
      assert.equal(recordOf({ daddr_v6: other }), null, `byte ${at}`);
    }
    assert.equal(recordOf({ daddr_v6: IMDS_IPV6 })?.tuple.remoteAddress, 'fd00:ec2::254');
  });

  it('takes the offsets of the running kernel', () => {
    // Before Linux 5.6 the protocol had 8 bits and was followed by the IPv4 addresses at once.
    const old = parseTracepointFormat(
      FORMAT_6_18.replace('protocol;\toffset:30;\tsize:2', 'protocol;\toffset:30;\tsize:1')
        .replace('saddr_v6[16];\toffset:40', 'saddr_v6[16];\toffset:44')
        .replace('daddr_v6[16];\toffset:56', 'daddr_v6[16];\toffset:60'),
    )!;
    assert.deepEqual(recordOf({ newstate: SYN_SENT }, old)?.tuple, tuple);
    const without = parseTracepointFormat(FORMAT_6_18.replace('daddr_v6', 'elsewhere'))!;
    assert.throws(() => tracepointProgram(without, [IMDS], MAPS, true), UnknownTracepoint);
    const wide = parseTracepointFormat(
      FORMAT_6_18.replace('dport;\toffset:26;\tsize:2', 'dport;\toffset:26;\tsize:3'),
    )!;
    assert.throws(() => tracepointProgram(wide, [IMDS], MAPS, true), UnknownTracepoint);
  });

  it('counts a record for which there was no room', () => {
    const program = tracepointProgram(format, [IMDS], MAPS, true);
    const { output, lost } = run(program, context(format, {}), MAPS, { isFull: true });
    assert.equal(output, null);
    assert.deepEqual(lost, [SYN_SENT]);
  });

  it('takes no bytes for a record that are none', () => {
    const bytes = Buffer.alloc(RECORD_BYTES);
    bytes.writeUInt32LE(3, RECORD_LAYOUT.state);
    assert.equal(tracepointRecord(bytes, new AddressTexts()), null);
    bytes.writeUInt32LE(1, RECORD_LAYOUT.state);
    assert.equal(tracepointRecord(bytes.subarray(1), new AddressTexts()), null);
  });
});

describe('Assembler', () => {
  it('encodes instructions as the kernel documents them', () => {
    const bytes = new Assembler()
      .move(6, 1)
      .load(2, 0, 6, 26)
      .jumpUnlessEqual(0, 80, 'end')
      .storeNumber(8, 10, -8, 1)
      .set(3, 0xffffffff)
      .setMap(2, 5)
      .call(25)
      .label('end')
      .exit()
      .bytes();
    assert.equal(
      bytes.toString('hex').replace(/.{16}(?=.)/g, '$& '),
      [
        ...['bf16000000000000', '69601a0000000000', '5500050050000000', '7a0af8ff01000000'],
        ...['b4030000ffffffff', '1812000005000000', '0000000000000000', '8500000019000000'],
        '9500000000000000',
      ].join(' '),
    );
    assert.throws(() => new Assembler().jump('nowhere').bytes(), /no label "nowhere"/);
    assert.throws(() => new Assembler().load(3, 0, 1, 0), /3 bytes/);
  });
});
