/** Tests who sent which bytes of a connection that several processes use. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { connectionUse } from '../../../../agent/attribution/connection_use.ts';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';

function owner(pid: number, args: string[] = []): SocketOwner {
  return {
    ...{ pid, startTicks: 1, name: 'x', executable: '/bin/x', uid: 0, args, argsTruncated: false, netns: 1 },
    ...{ cgroupId: null, ancestors: [], method: 'ebpf', confidence: 'exact' },
  };
}

const OPENER = owner(1);

describe('who sent bytes of a connection', () => {
  it('is the process that began last before them, wherever the sequence numbers wrap', () => {
    const pieces = fc.array(
      fc.record({ pid: fc.integer({ min: 1, max: 3 }), bytes: fc.integer({ min: 1, max: 20 }) }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    const start = fc.oneof(
      fc.integer({ min: 0, max: 0xffff_ffff }),
      fc.integer({ min: 0xffff_ffe0, max: 0xffff_ffff }),
    );
    fc.assert(
      fc.property(pieces, start, fc.nat(), fc.nat(), (parts, first, a, b) => {
        // The sender of each byte, written down one by one.
        const truth: number[] = [];
        const senders = [];
        let before = OPENER.pid;
        for (const { pid, bytes } of parts) {
          if (pid !== before) senders.push({ owner: owner(pid), sequence: (first + truth.length) >>> 0 });
          before = pid;
          for (let i = 0; i < bytes; i++) truth.push(pid);
        }
        const [from, to] = [a % truth.length, b % truth.length].toSorted((x, y) => x - y) as [number, number];
        const range = { first: (first + from) >>> 0, last: (first + to) >>> 0 };
        const { opener, sender, isMixed } = connectionUse(OPENER, senders, range);
        assert.equal(opener, OPENER);
        assert.equal(sender?.pid ?? OPENER.pid, truth[to]);
        const bySwitch = truth.slice(from, to + 1).some((pid, at, all) => at > 0 && pid !== all[at - 1]);
        assert.equal(isMixed, bySwitch);
      }),
    );
  });

  it('is another program of the process that connected', () => {
    const program = owner(1, ['other']);
    const use = connectionUse(OPENER, [{ owner: program, sequence: 5 }], { first: 5, last: 9 });
    assert.deepEqual(use, { opener: OPENER, sender: program, isMixed: false });
  });

  it('is known where the record of the opener was lost', () => {
    const sender = owner(2);
    assert.deepEqual(connectionUse(null, [{ owner: sender, sequence: 5 }], { first: 5, last: 9 }), {
      opener: null,
      sender,
      isMixed: false,
    });
  });
});
