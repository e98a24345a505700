import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { executionIn } from '../../../../agent/linux/execution_samples.ts';
import { parseTracepointFormat } from '../../../../agent/linux/tracepoint_format.ts';
import { sampleIn } from '../../../../agent/linux/tracepoint_samples.ts';
import { EXEC_6_18 } from '../../../support/agent/attribution/tracepoint_formats.ts';

const format = parseTracepointFormat(EXEC_6_18)!;

/** The body of a sample as the kernel writes it: kernel/events/core.c, perf_output_sample. */
function sample(path: string): Buffer {
  const record = Buffer.alloc((20 + path.length + 1 + 7) & ~7);
  record.writeUInt32LE(((path.length + 1) << 16) | 20, 8);
  record.write(path, 20);
  const head = Buffer.alloc(20);
  head.writeUInt32LE(4_242, 0);
  head.writeUInt32LE(4_242, 4);
  head.writeBigUInt64LE(123_456_789n, 8);
  head.writeUInt32LE(record.length, 16);
  return Buffer.concat([head, record]);
}

function read(body: Buffer) {
  const taken = sampleIn(body);
  return taken && executionIn(taken, format);
}

describe('executionIn', () => {
  it('reads the process, the time and the path', () => {
    assert.deepEqual(read(sample('/opt/app/bin/one-shot')), {
      ...{ pid: 4_242, timeNs: 123_456_789n, path: '/opt/app/bin/one-shot' },
    });
  });

  it('takes any bytes', () => {
    const whole = sample('/bin/sh');
    for (let length = 0; length < 48; length++) {
      const path = read(whole.subarray(0, length))?.path;
      assert.ok(path === undefined || path === '/bin/sh', `${length} bytes: ${path}`);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        read(Buffer.from(bytes));
      }),
    );
  });
});
