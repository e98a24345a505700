/**
 * Measures the choice of what to fix first over 100,000 held hosts: callers as skewed as in a fleet, and a fleet made
 * to be slow, in which nearly every host has callers of its own choice.
 */
import { coverOf, type HeldHost } from '../../collector/insight/cover.ts';

const HOSTS = 100_000;
const ROUNDS = 5;

/** Numbers from 0 to 1, the same in each run (a linear congruential generator). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function fleet(callers: number, perHost: number, skew: number): HeldHost[] {
  const next = numbers(1);
  return Array.from({ length: HOSTS }, (_, index) => ({
    callers: Array.from(
      { length: 1 + Math.floor(next() * perHost) },
      () => `workload-${Math.floor(next() ** skew * callers)}`,
    ),
    watched: next() < 0.9,
    groups: [`asg:web-${index % 2000}`],
  }));
}

for (const [name, hosts] of [
  ['704 workloads, 1 to 3 on a host, skewed', fleet(704, 3, 4)],
  ['2,000 workloads, 1 to 6 on a host, equally frequent', fleet(2000, 6, 1)],
] as const) {
  const times = Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    coverOf(hosts, { limit: 20 });
    return performance.now() - began;
  }).sort((a, b) => a - b);
  const patterns = new Set(hosts.map(({ callers }) => [...new Set(callers)].sort().join())).size;
  console.log(
    `${name}: ${patterns} patterns, median ${times[2]!.toFixed(0)} ms, longest ${times[4]!.toFixed(0)} ms`,
  );
}
