import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { connectionIn, fieldOffsets, filterFor } from '../../../../agent/attribution/connection_samples.ts';
import { AddressTexts } from '../../../../agent/attribution/ebpf_address.ts';
import { addressBytes } from '../../../../agent/linux/netlink_inet_diag.ts';
import { parseTracepointFormat, type TracepointFormat } from '../../../../agent/linux/tracepoint_format.ts';
import { FORMAT_6_18 } from '../../../support/agent/attribution/tracepoint_formats.ts';

const [ESTABLISHED, SYN_SENT, FIN_WAIT1, CLOSE] = [1, 2, 4, 7];
const MAPPED = '00000000000000000000ffff';
const format = parseTracepointFormat(FORMAT_6_18)!;
/** The form before Linux 5.6, with other places. */
const oldFormat = parseTracepointFormat(
  FORMAT_6_18.replace('__u16 protocol;\toffset:30;\tsize:2', '__u8 protocol;\toffset:72;\tsize:1'),
)!;

interface Values {
  state?: number;
  old?: number;
  protocol?: number;
  port?: number;
  remote?: string;
}

/** The tracepoint's record as a kernel with this format writes it (include/trace/events/sock.h). */
function recordOf(of: TracepointFormat, values: Values): Buffer {
  const bytes = Buffer.alloc(76);
  const at = (name: string) => of.fields.get(name)!;
  const write = (name: string, value: number) => bytes.writeUIntLE(value, at(name).offset, at(name).size);
  bytes.writeBigUInt64LE(0xffff888012345678n, at('skaddr').offset);
  write('oldstate', values.old ?? CLOSE);
  write('newstate', values.state ?? SYN_SENT);
  write('sport', 40_000);
  write('dport', values.port ?? 80);
  write('family', 2);
  write('protocol', values.protocol ?? 6);
  Buffer.from(`${MAPPED}0a000007`, 'hex').copy(bytes, at('saddr_v6').offset);
  Buffer.from(values.remote ?? `${MAPPED}a9fea9fe`, 'hex').copy(bytes, at('daddr_v6').offset);
  return bytes;
}

function read(values: Values, of = format) {
  const sample = { pid: 4_242, tid: 4_243, timeNs: 123n, record: recordOf(of, values) };
  const isEndpoint = (address: string) => ['169.254.169.254', 'fd00:ec2::254'].includes(address);
  return connectionIn(sample, fieldOffsets(of)!, isEndpoint, new AddressTexts());
}

describe('connectionIn', () => {
  const tuple = {
    ...{ localAddress: '10.0.0.7', localPort: 40_000 },
    ...{ remoteAddress: '169.254.169.254', remotePort: 80 },
  };

  it('reads the caller where a socket begins to connect', () => {
    for (const form of [format, oldFormat]) {
      assert.deepEqual(read({}, form), {
        ...{ kind: 'begun', socket: 0x1f888012345678, timeNs: 123n, tuple },
        caller: { pid: 4_242, tid: 4_243, realUid: null, cgroupId: null, name: null },
      });
    }
  });

  it('reads no caller from what happens in anybody’s context', () => {
    const established = read({ state: ESTABLISHED, old: SYN_SENT });
    assert.deepEqual([established?.kind, established?.caller], ['established', null]);
    assert.equal(read({ state: CLOSE, old: SYN_SENT })?.kind, 'failed');
    assert.equal(read({ state: CLOSE, old: FIN_WAIT1 })?.kind, 'closed');
    assert.equal(read({ state: FIN_WAIT1, old: ESTABLISHED }), null);
  });

  it('leaves out other places, ports and protocols', () => {
    assert.equal(read({ remote: `${MAPPED}0a000001` }), null);
    assert.equal(read({ port: 443 }), null);
    assert.equal(read({ protocol: 132 }), null);
    assert.equal(read({ remote: 'fd000ec2000000000000000000000254' })?.tuple.remoteAddress, 'fd00:ec2::254');
  });

  it('takes any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const sample = { pid: 1, tid: 1, timeNs: 1n, record: Buffer.from(bytes) };
        connectionIn(sample, fieldOffsets(format)!, () => true, new AddressTexts());
      }),
    );
  });
});

describe('fieldOffsets', () => {
  it('refuses a tracepoint of another form', () => {
    for (const name of [
      'skaddr',
      'oldstate',
      'newstate',
      'sport',
      'dport',
      'protocol',
      'daddr_v6',
      'daddr',
    ]) {
      const without = new Map([...format.fields].filter(([each]) => each !== name));
      assert.equal(fieldOffsets({ ...format, fields: without }), null, name);
      const longer = new Map(format.fields).set(name, { offset: 8, size: 12 });
      assert.equal(fieldOffsets({ ...format, fields: longer }), null, name);
    }
  });
});

describe('filterFor', () => {
  it('names addresses of four bytes, and the family of longer ones once', () => {
    const filter = filterFor(
      ['169.254.169.254', 'fd00:ec2::254', 'fd00:ec2::23'].map((text) => addressBytes(text)!),
    );
    const states = '(newstate == 1 || newstate == 2 || newstate == 7)';
    // 169.254.169.254 in memory is a9 fe a9 fe.
    assert.equal(filter, `dport == 80 && ${states} && (daddr == ${0xfea9fea9} || family == 10)`);
  });
});
