/** Tests the clock that is driven by the packets of a capture file. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacketClock } from '../../../../agent/capture/packet_clock.ts';
import type { PacketHandler, PacketSource } from '../../../../agent/capture/packet_source.ts';

const SECOND_US = 1_000_000;

/** Plays packets with these times and returns the ticks between them. */
function ticksFor(timesUs: readonly number[]): number[] {
  const ticks: number[] = [];
  const source: PacketSource = {
    name: 'times',
    live: false,
    start: (handler: PacketHandler) => {
      for (const timeUs of timesUs)
        handler([{ data: new Uint8Array(0), wireLength: 0, linkType: 'RAW', timeUs }]);
    },
    stop: () => {},
    counters: () => ({}),
  };
  new PacketClock(source, (nowUs) => {
    ticks.push(nowUs);
    return true;
  }).start(() => {});
  return ticks;
}

test('a silence gives ticks from a quarter of a second on, up to the next packet', () => {
  const ticks = ticksFor([0, 20 * SECOND_US]);
  assert.equal(ticks[0], SECOND_US / 4);
  assert.ok(ticks.every((timeUs, index) => index === 0 || timeUs > ticks[index - 1]!));
  const last = ticks.at(-1)!;
  assert.ok(last <= 20 * SECOND_US && last > 18 * SECOND_US);
});

test('times that jump back and forth give a bounded number of ticks each', () => {
  const times = Array.from({ length: 1_000 }, (_, index) =>
    index % 2 === 0 ? 0 : 3_599 * SECOND_US * (1 + (index % 7)),
  );
  assert.ok(ticksFor(times).length < 150 * times.length);
});
