/** Tests how the kernel's reports are matched with the beginnings that the capture saw, one with one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { KernelConnection } from '../../../../agent/attribution/attributor.ts';
import { KernelView } from '../../../../agent/coverage/kernel_view.ts';

const IMDS = '169.254.169.254';
const SECOND_US = 1_000_000;

function connection(netns: number, initialSequence: number, kind: KernelConnection['kind'] = 'established') {
  return {
    kind,
    netns,
    initialSequence,
    tuple: { localAddress: '10.0.0.1', localPort: 45_001, remoteAddress: IMDS, remotePort: 80 },
    owner: () => null,
    threadId: () => null,
    isOpen: () => true,
  } satisfies KernelConnection;
}

function coverage(watched: number[] = []) {
  const told: string[] = [];
  const kernelView = new KernelView({
    isWatched: (netns) => watched.includes(netns),
    onUndecided: ({ netns }) => told.push(`waits ${netns}`),
    onDecided: ({ netns }) => told.push(`decided ${netns}`),
    onMissed: ({ netns }) => told.push(`missed ${netns}`),
    onBlocked: ({ netns }) => told.push(`blocked ${netns}`),
  });
  return { kernelView, told };
}

describe('coverage', () => {
  it('counts a connection as seen if its SYN was captured before or after the report', () => {
    const { kernelView, told } = coverage();
    kernelView.recordBeginning(IMDS, 100, 0);
    kernelView.recordKernelConnection(connection(1, 100), 10);
    kernelView.recordKernelConnection(connection(1, 200), 20);
    kernelView.recordBeginning(IMDS, 200, 30);
    kernelView.tick(SECOND_US + 20);
    assert.deepEqual(told, ['waits 1', 'decided 1']);
    const { seen, missed, kernel_connections } = kernelView.counters();
    assert.deepEqual([kernel_connections, seen, missed], [2, 2, 0]);
  });

  it('calls undecided only what was not seen so far, and says since when', () => {
    const { kernelView, told } = coverage();
    kernelView.recordKernelConnection(connection(1, 100), 10);
    kernelView.recordKernelConnection(connection(1, 200), 20);
    kernelView.recordKernelConnection(connection(1, 300, 'failed'), 5);
    kernelView.recordBeginning(IMDS, 100, 30);
    assert.deepEqual([kernelView.undecided, kernelView.undecidedSinceUs], [1, 20]);
    const { kernel_connections, seen, missed } = kernelView.counters();
    assert.deepEqual([kernel_connections, seen, missed], [2, 1, 0]);
    kernelView.recordBeginning(IMDS, 200, 40);
    assert.deepEqual([kernelView.undecided, kernelView.undecidedSinceUs], [0, null]);
    kernelView.tick(2 * SECOND_US);
    assert.equal(kernelView.counters()['blocked'], 1, 'the failed attempt');
    assert.equal(told.filter((word) => word === 'decided 1').length, 3);
  });

  it('counts the same address and port in another namespace, and the same port used again, as missed', () => {
    const { kernelView } = coverage();
    kernelView.recordBeginning(IMDS, 100, 0);
    kernelView.recordKernelConnection(connection(1, 100), 10);
    kernelView.recordKernelConnection(connection(2, 300), 20);
    kernelView.recordKernelConnection(connection(1, 400), 30);
    kernelView.finish();
    assert.deepEqual([kernelView.counters()['seen'], kernelView.counters()['missed']], [1, 2]);
  });

  it('matches one beginning with one connection, however many copies of it are seen', () => {
    const { kernelView } = coverage();
    for (let copy = 0; copy < 3; copy++) kernelView.recordBeginning(IMDS, 100, copy);
    kernelView.recordKernelConnection(connection(1, 100), 10);
    kernelView.recordBeginning(IMDS, 100, 20); // the SYN once more, on another interface
    kernelView.recordKernelConnection(connection(2, 100), 30);
    kernelView.finish();
    assert.deepEqual([kernelView.counters()['seen'], kernelView.counters()['missed']], [1, 1]);
  });

  it('deletes a beginning without a report', () => {
    const { kernelView } = coverage();
    kernelView.recordBeginning(IMDS, 100, 0);
    kernelView.tick(151 * SECOND_US);
    kernelView.recordKernelConnection(connection(1, 100), 151 * SECOND_US);
    kernelView.finish();
    assert.equal(kernelView.counters()['missed'], 1);
  });

  it('distinguishes a blocked attempt from one that left unseen', () => {
    const { kernelView, told } = coverage([1]);
    kernelView.recordKernelConnection(connection(1, 1, 'failed'), 0);
    kernelView.recordKernelConnection(connection(2, 2, 'failed'), 0);
    kernelView.recordBeginning(IMDS, 3, 0);
    kernelView.recordKernelConnection(connection(3, 3, 'failed'), 0);
    kernelView.finish();
    const { blocked, missed, failed } = kernelView.counters();
    assert.deepEqual([blocked, missed, failed], [1, 1, 1]);
    assert.deepEqual(told.filter((each) => each.startsWith('decided')).length, 2);
  });

  it('never counts more connections as seen than it saw begin, in any order', () => {
    const event = fc.record({
      isReport: fc.boolean(),
      netns: fc.integer({ min: 1, max: 3 }),
      initialSequence: fc.integer({ min: 0, max: 5 }),
      waitUs: fc.integer({ min: 0, max: 2 * SECOND_US }),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const { kernelView } = coverage();
        const begun = new Set<number>();
        let nowUs = 0;
        let reports = 0;
        for (const { isReport, netns, initialSequence, waitUs } of events) {
          nowUs += waitUs;
          kernelView.tick(nowUs);
          if (isReport) {
            reports++;
            kernelView.recordKernelConnection(connection(netns, initialSequence), nowUs);
          } else {
            begun.add(initialSequence);
            kernelView.recordBeginning(IMDS, initialSequence, nowUs);
          }
        }
        kernelView.finish();
        const { seen, missed, kernel_connections } = kernelView.counters();
        assert.equal(kernel_connections, reports);
        assert.equal(seen! + missed!, reports);
        assert.ok(seen! <= begun.size);
      }),
    );
  });

  it('compares exactly the connections until the end, in whatever order and however late they are read', () => {
    const END_US = 1_000;
    const each = fc.record({
      atUs: fc.oneof(fc.integer({ min: 0, max: 2 * END_US }), fc.constant(END_US), fc.constant(END_US + 1)),
      kind: fc.constantFrom('established' as const, 'failed' as const),
      isCaptured: fc.boolean(),
      // Each side may be read before the end is set, or after it.
      reportedAt: fc.double({ min: 0, max: 2, noNaN: true }),
      capturedAt: fc.double({ min: 0, max: 2, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.array(each, { maxLength: 12 }), (all) => {
        const { kernelView, told } = coverage([1]);
        const steps: { at: number; run: () => void }[] = [{ at: 1, run: () => kernelView.endAt(END_US) }];
        for (const [index, { atUs, kind, isCaptured, reportedAt, capturedAt }] of all.entries()) {
          const report = { ...connection(1, index, kind), monotonicUs: atUs };
          steps.push({ at: reportedAt, run: () => kernelView.recordKernelConnection(report, 0) });
          if (isCaptured)
            steps.push({ at: capturedAt, run: () => kernelView.recordBeginning(IMDS, index, 0) });
        }
        for (const { run } of steps.toSorted((a, b) => a.at - b.at)) run();
        kernelView.finish();
        const counters = kernelView.counters();
        const within = all.filter(({ atUs }) => atUs <= END_US);
        const established = within.filter(({ kind }) => kind === 'established');
        const count = (of: typeof all, isCaptured: boolean) =>
          of.filter((one) => one.isCaptured === isCaptured).length;
        const failed = within.filter(({ kind }) => kind === 'failed');
        // A later connection that both sides read before the end was set counts, on both sides alike.
        const extra = all.filter(
          (one) =>
            one.kind === 'established' &&
            one.atUs > END_US &&
            one.isCaptured &&
            Math.max(one.reportedAt, one.capturedAt) < 1,
        ).length;
        assert.equal(counters['missed'], count(established, false));
        assert.equal(counters['blocked'], count(failed, false));
        assert.equal(counters['seen'], count(established, true) + extra);
        assert.equal(counters['kernel_connections'], established.length + extra);
        const [waits, decided] = ['waits 1', 'decided 1'].map(
          (text) => told.filter((one) => one === text).length,
        );
        assert.equal(waits, decided, 'nothing is left undecided');
        assert.equal(kernelView.undecided, 0);
      }),
    );
  });
});
