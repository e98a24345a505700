import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeCapabilities } from '../../../../cli/doctor/capabilities.ts';
import { hasSplitCapabilities } from '../../../../cli/doctor/kernel_capabilities.ts';

const bits = (...numbers: number[]) => numbers.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
/** CAP_NET_RAW, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH. */
const OTHERS = [13, 19, 2];

describe('judgeCapabilities', () => {
  it('names what the kernel has, and the command that gives it', () => {
    const [old] = judgeCapabilities(bits(...OTHERS), 'the agent has', false);
    assert.match(JSON.stringify(old), /no CAP_SYS_ADMIN, which this kernel .*dpkg-reconfigure imdswatch/);
    const [recent] = judgeCapabilities(bits(...OTHERS), 'the agent has', true);
    assert.match(
      JSON.stringify(recent),
      /no CAP_BPF and CAP_PERFMON: .*AmbientCapabilities=CAP_BPF .*before 246 .*CAP_SYS_ADMIN/,
    );
  });

  it('is content with either', () => {
    for (const held of [bits(...OTHERS, 38, 39), bits(...OTHERS, 21)]) {
      assert.match(JSON.stringify(judgeCapabilities(held, 'the agent has', true)), /"ok"/);
    }
  });
});

describe('hasSplitCapabilities', () => {
  it('goes by the last capability of the kernel: 37 before Linux 5.8, then 39 and 40', () => {
    assert.deepEqual(
      ['37\n', '38\n', '39\n', '40\n'].map((last) => hasSplitCapabilities(last)),
      [false, false, true, true],
    );
  });
});
