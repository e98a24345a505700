import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { processEventIn, ringBytesFor } from '../../../../agent/linux/process_samples.ts';
import { parseTracepointFormat } from '../../../../agent/linux/tracepoint_format.ts';
import { EXEC_6_18, EXIT_6_18, FORK_6_18 } from '../../../support/agent/attribution/tracepoint_formats.ts';

const FORMATS = {
  fork: parseTracepointFormat(FORK_6_18)!,
  exec: parseTracepointFormat(EXEC_6_18)!,
  exit: parseTracepointFormat(EXIT_6_18)!,
};
const CLONE_VM = 0x100;
const CLONE_VFORK = 0x4000;
const CLONE_PARENT = 0x8000;
const CLONE_THREAD = 0x10000;

/** The body of a sample as the kernel writes it: kernel/events/core.c, perf_output_sample. */
function body(id: number, bytes: number, fill: (record: Buffer) => void, tid = 4_242): Buffer {
  const record = Buffer.alloc(bytes);
  record.writeUInt16LE(id, 0);
  fill(record);
  const head = Buffer.alloc(20);
  head.writeUInt32LE(4_242, 0);
  head.writeUInt32LE(tid, 4);
  head.writeBigUInt64LE(99n, 8);
  head.writeUInt32LE(record.length, 16);
  return Buffer.concat([head, record]);
}

const forked = (flags: number, tid?: number) =>
  body(
    FORMATS.fork.id,
    44,
    (record) => {
      record.writeUInt32LE(5_000, 8);
      record.writeBigUInt64LE(BigInt(flags), 32);
    },
    tid,
  );
const ended = (tid: number) => body(FORMATS.exit.id, 36, (record) => record.writeUInt32LE(tid, 24), tid);
const ran = (path: string) =>
  body(FORMATS.exec.id, 24 + path.length + 1, (record) => {
    record.writeUInt32LE(((path.length + 1) << 16) | 24, 8);
    record.write(path, 24);
  });

describe('processEventIn', () => {
  it('reads the begin, the program and the end of a process', () => {
    const fork = { kind: 'fork', pid: 5_000, parentPid: 4_242, timeNs: 99n };
    assert.deepEqual(processEventIn(forked(CLONE_VM | CLONE_VFORK), FORMATS), fork);
    assert.deepEqual(processEventIn(forked(0, 4_250), FORMATS), fork, 'a thread creates a process');
    assert.deepEqual(processEventIn(ran('/usr/bin/curl'), FORMATS), {
      ...{ kind: 'exec', pid: 4_242, timeNs: 99n, path: '/usr/bin/curl' },
    });
    assert.deepEqual(processEventIn(ended(4_242), FORMATS), { kind: 'exit', pid: 4_242, timeNs: 99n });
  });

  it('leaves out threads, and children of somebody else', () => {
    assert.equal(processEventIn(forked(CLONE_VM | CLONE_THREAD), FORMATS), null);
    assert.equal(processEventIn(forked(CLONE_PARENT), FORMATS), null);
    assert.equal(processEventIn(ended(4_250), FORMATS), null);
  });

  it('takes any bytes', () => {
    for (const whole of [forked(0), ran('/bin/sh'), ended(4_242)]) {
      for (let length = 0; length < whole.length; length++)
        processEventIn(whole.subarray(0, length), FORMATS);
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(FORMATS)),
        fc.uint8Array({ minLength: 20, maxLength: 100 }),
        ({ id }, bytes) => {
          const any = Buffer.from(bytes);
          if (any.length >= 22) any.writeUInt16LE(id, 20);
          const event = processEventIn(any, FORMATS);
          assert.ok(event === null || event.pid >= 0);
        },
      ),
    );
  });
});

describe('ringBytesFor', () => {
  it('is a power of two, and bounded for one CPU and for all', () => {
    for (let cpus = 1; cpus <= 1_024; cpus++) {
      const bytes = ringBytesFor(cpus);
      assert.equal(Math.log2(bytes) % 1, 0);
      assert.ok(bytes >= 65_536 && bytes <= 262_144);
      assert.ok(cpus * bytes <= 8 * 1024 * 1024 || bytes === 65_536);
    }
  });
});
