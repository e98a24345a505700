import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import fc from 'fast-check';
import { CaptureOrder } from '../../../../agent/capture/capture_order.ts';
import type { Packet } from '../../../../agent/capture/packet_source.ts';

const COLLECT_MS = 40;

/** A capture whose packets wait in its ring until `handOver`. */
class FakeCapture {
  readonly waiting: Packet[] = [];
  packetsCaptured = 0;
  packetsRead = 0;
  assumeAllRead(captured: number): void {
    this.packetsCaptured -= captured - this.packetsRead;
  }
  capture(timeUs: number, name = 0): void {
    this.packetsCaptured++;
    this.waiting.push({ data: Uint8Array.of(name), linkType: 'RAW', timeUs, wireLength: 1 });
  }
}

/** Returns an order of two captures at a moment, and how many packets it has handled. */
function countingOrder() {
  let count = 0;
  const order = new CaptureOrder<FakeCapture>(
    COLLECT_MS,
    (packets) => {
      count += packets.length;
    },
    () => 100,
  );
  return { order, one: new FakeCapture(), other: new FakeCapture(), handled: () => count };
}

function handOver(
  order: CaptureOrder<FakeCapture>,
  from: FakeCapture,
  all: readonly FakeCapture[],
  count = from.waiting.length,
): void {
  const packets = from.waiting.splice(0, count);
  from.packetsRead += packets.length;
  order.addPackets(from, packets, all);
}

describe('packets of several captures', () => {
  it('are handled in the order of their times, however the captures are read', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2), fc.nat(3)), { maxLength: 60 }),
        fc.infiniteStream(fc.nat(2)),
        (made, turns) => {
          const times: number[] = [];
          let nowUs = 1_000;
          const handler = (packets: readonly Packet[]) => times.push(...packets.map(({ timeUs }) => timeUs));
          const order = new CaptureOrder<FakeCapture>(COLLECT_MS, handler, () => nowUs);
          const captures = [new FakeCapture(), new FakeCapture(), new FakeCapture()];
          for (const [which, pauseUs] of made) {
            nowUs += pauseUs + 1;
            captures[which]!.capture(nowUs);
            const turn = captures[turns.next().value]!;
            if (turn.waiting.length > 0 && pauseUs > 1) handOver(order, turn, captures);
          }
          for (const capture of captures) if (capture.waiting.length > 0) handOver(order, capture, captures);
          order.flush();
          assert.equal(times.length, made.length);
          assert.deepEqual(
            times,
            times.toSorted((a, b) => a - b),
          );
        },
      ),
    );
  });

  it('do not wait where the other captures have nothing', () => {
    const { order, one, other, handled } = countingOrder();
    one.capture(50);
    handOver(order, one, [one, other]);
    assert.equal(handled(), 1);
  });

  it('keep the order of their capture when the clock was set back', () => {
    const names: number[] = [];
    let nowUs = 5_000_000;
    const order = new CaptureOrder<FakeCapture>(
      COLLECT_MS,
      (packets) => names.push(...packets.map(({ data }) => data[0]!)),
      () => nowUs,
    );
    const [one, other] = [new FakeCapture(), new FakeCapture()];
    one.capture(5_000_000, 1);
    nowUs = 1_000;
    one.capture(1_000, 2);
    one.capture(1_001, 3);
    other.capture(1_002, 4);
    handOver(order, one, [one, other]);
    handOver(order, other, [one, other]);
    order.flush();
    assert.deepEqual(
      names.filter((name) => name !== 4),
      [1, 2, 3],
    );
    assert.equal(names.length, 4);
  });

  it('wait for a capture that gives less than it counted no longer than three times the collecting', async (t) => {
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
    const { order, one, other, handled } = countingOrder();
    other.packetsCaptured = 1; // libpcap dropped it
    one.capture(50);
    handOver(order, one, [one, other]);
    assert.equal(handled(), 0);
    mock.timers.tick(3 * COLLECT_MS);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(handled(), 1);
    one.capture(60);
    handOver(order, one, [one, other]);
    assert.equal(handled(), 2, 'the packet that never comes is not waited for again');
  });

  it('are all handled when a caller wants to have caught up', async () => {
    const { order, one, other, handled } = countingOrder();
    one.capture(50);
    other.capture(60);
    setTimeout(() => handOver(order, one, [one, other]), 5);
    setTimeout(() => handOver(order, other, [one, other]), 10);
    await order.caughtUp([one, other]);
    assert.equal(handled(), 2);
  });
});
