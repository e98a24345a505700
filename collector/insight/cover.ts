/**
 * Chooses the few workloads whose fix frees the most hosts. A host is free when every workload that made an IMDSv1
 * call there is fixed, so a workload is worth most together with those that it shares its hosts with. Pure.
 *
 * The choice is greedy: it takes the set of workloads with the most freed hosts for each fix, again and again. The
 * best choice of all cannot be computed in a reasonable time (the problem contains the densest subgraph problem).
 * The numbers of the steps are exact whatever the choice.
 */

export interface HeldHost {
  /** Ids of all workloads that made IMDSv1 calls on this host; at least one. */
  callers: readonly string[];
  /** Nothing but these calls keeps the host from being ready. */
  watched: boolean;
  /** Names of the groups that it belongs to. */
  groups: readonly string[];
}

export interface CoverOptions {
  /** Largest number of workloads to choose. */
  limit: number;
  /** Workloads that are fixed already: their old calls hold no host for longer than the window. */
  fixed?: ReadonlySet<string>;
  /** Workloads that cannot be chosen. Their hosts stay held. */
  barred?: ReadonlySet<string>;
  /** Groups that something else than the hosts stands in the way of. No fix frees them. */
  barredGroups?: ReadonlySet<string>;
}

export interface CoverStep {
  workload: string;
  /** Held hosts on which it made IMDSv1 calls. */
  hosts: number;
  /** Hosts that this fix frees after the fixes before it; 0 for one that frees only together with the next. */
  frees: number;
  /** Hosts that are free after this fix and those before it. Hosts that wait for fixed workloads are not among them. */
  freed: number;
  /** Those of `freed` that nothing but the calls keeps from being ready. */
  freedWatched: number;
  /** Groups of which this fix and those before it free the last held host. */
  freedGroups: number;
}

export interface Cover {
  steps: CoverStep[];
  /** Hosts on which every caller is fixed already. */
  waiting: number;
  /** Hosts that a barred workload holds. */
  barredHosts: number;
  /** Groups with at least one host, without those whose hosts all wait. */
  groups: number;
  /** Those of `groups` that are barred. */
  barredGroups: number;
}

/** Hosts with the same callers that are left. */
interface Pattern {
  key: string;
  /** Numbers of the callers that are left, ascending. */
  left: readonly number[];
  hosts: number[];
}

/** Subsets of a larger set are not counted one by one: their number doubles with each workload. */
const MAX_EXACT = 6;
/** Sets that are counted in each round, those of the highest bound. It keeps hostile fleets below a second. */
const MAX_COUNTED = 256;
/** Sums of shares differ in their last digits by the order of the hosts. */
const ROUNDING = 1e-6;

export function coverOf(
  hosts: readonly HeldHost[],
  { limit, fixed, barred, barredGroups = new Set() }: CoverOptions,
): Cover {
  const open = hosts.map(({ callers }) => [...new Set(callers)].filter((id) => fixed?.has(id) !== true));
  const groupsLeft = new Map<string, number>();
  for (const [index, { groups }] of hosts.entries()) {
    if (open[index]!.length === 0) continue;
    for (const group of new Set(groups)) groupsLeft.set(group, (groupsLeft.get(group) ?? 0) + 1);
  }
  const cover: Cover = {
    steps: [],
    waiting: open.filter((ids) => ids.length === 0).length,
    barredHosts: open.filter((ids) => ids.some((id) => barred?.has(id) === true)).length,
    groups: groupsLeft.size,
    barredGroups: [...groupsLeft.keys()].filter((group) => barredGroups.has(group)).length,
  };
  const names = [...new Set(open.flat())].filter((id) => barred?.has(id) !== true).sort();
  const numbers = new Map(names.map((name, number) => [name, number]));
  const heldBy = new Array<number>(names.length).fill(0);
  for (const ids of open) for (const id of ids) if (numbers.has(id)) heldBy[numbers.get(id)!]!++;
  const patterns = new Patterns(names.length);
  for (const [index, ids] of open.entries()) {
    if (ids.length === 0 || ids.some((id) => barred?.has(id) === true)) continue;
    patterns.put(ids.map((id) => numbers.get(id)!).sort(ascending), [index]);
  }

  let [freed, freedWatched, freedGroups] = [0, 0, 0];
  while (cover.steps.length < limit) {
    const bundle = patterns.bestBundle(limit - cover.steps.length);
    if (bundle === null) break;
    for (const number of patterns.inOrder(bundle)) {
      const free = patterns.fix(number);
      freed += free.length;
      for (const index of free) {
        const { watched, groups } = hosts[index]!;
        if (watched) freedWatched++;
        for (const group of new Set(groups)) {
          const left = groupsLeft.get(group)! - 1;
          groupsLeft.set(group, left);
          if (left === 0 && !barredGroups.has(group)) freedGroups++;
        }
      }
      cover.steps.push({
        workload: names[number]!,
        hosts: heldBy[number]!,
        frees: free.length,
        freed,
        freedWatched,
        freedGroups,
      });
    }
  }
  return cover;
}

/** The held hosts by the callers that are left. */
class Patterns {
  readonly #byKey = new Map<string, Pattern>();
  readonly #byCaller: Set<Pattern>[];

  constructor(callers: number) {
    this.#byCaller = Array.from({ length: callers }, () => new Set());
  }

  put(left: readonly number[], hosts: number[]): void {
    const key = left.join();
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      for (const host of hosts) known.hosts.push(host);
      return;
    }
    const pattern = { key, left, hosts };
    this.#byKey.set(key, pattern);
    for (const number of left) this.#byCaller[number]!.add(pattern);
  }

  /** Removes a caller. Returns the hosts that nobody holds any more. */
  fix(caller: number): number[] {
    let free: number[] = [];
    for (const pattern of this.#byCaller[caller]!) {
      this.#byKey.delete(pattern.key);
      for (const number of pattern.left) if (number !== caller) this.#byCaller[number]!.delete(pattern);
      const left = pattern.left.filter((number) => number !== caller);
      if (left.length === 0) free = pattern.hosts;
      else this.put(left, pattern.hosts);
    }
    this.#byCaller[caller]!.clear();
    return free;
  }

  /** Returns the callers of a bundle, the one that frees the most hosts by itself first. */
  *inOrder(bundle: readonly number[]): Generator<number> {
    if (bundle.length === 1) {
      yield bundle[0]!;
      return;
    }
    const shares = this.#shares();
    const left = new Set(bundle);
    while (left.size > 0) {
      const next = [...left].reduce((best, each) => {
        const [mine, other] = [this.#alone(each), this.#alone(best)];
        if (mine !== other) return mine > other ? each : best;
        return shares[each]! > shares[best]! + ROUNDING ? each : best;
      });
      left.delete(next);
      yield next;
    }
  }

  /** Returns the callers with the most freed hosts for each of them; null where no pattern fits in `room`. */
  bestBundle(room: number): readonly number[] | null {
    const shares = this.#shares();
    const fitting = [...this.#byKey.values()].filter(({ left }) => left.length <= room);
    // Each freed host counts for the bundle in equal shares of its callers, so no bundle frees more than the sum.
    const bounds = Float64Array.from(
      fitting,
      ({ left }) => left.reduce((sum, number) => sum + shares[number]!, 0) / left.length,
    );
    const least = bounds.toSorted()[bounds.length - MAX_COUNTED] ?? 0;
    let best: Candidate | null = null;
    for (const [index, pattern] of fitting.entries()) {
      const bound = bounds[index]!;
      if (
        bound < least - ROUNDING ||
        (best !== null && bound * best.pattern.left.length < best.gain - ROUNDING)
      )
        continue;
      const candidate = { pattern, gain: this.#gainOf(pattern) };
      if (best === null || isBetter(candidate, best)) best = candidate;
    }
    return best?.pattern.left ?? null;
  }

  #alone(caller: number): number {
    return this.#byKey.get(String(caller))?.hosts.length ?? 0;
  }

  /** Returns for each caller its share of the held hosts: a host of three callers counts a third for each. */
  #shares(): number[] {
    const shares = new Array<number>(this.#byCaller.length).fill(0);
    for (const { left, hosts } of this.#byKey.values()) {
      for (const number of left) shares[number]! += hosts.length / left.length;
    }
    return shares;
  }

  /** Counts the hosts whose callers all are in the pattern: exactly, or at least for a large pattern. */
  #gainOf({ left, hosts }: Pattern): number {
    if (left.length > MAX_EXACT) {
      return left.reduce((sum, number) => sum + this.#alone(number), hosts.length);
    }
    let gain = 0;
    for (let subset = 1; subset < 1 << left.length; subset++) {
      const key = left.filter((_, bit) => (subset >> bit) & 1).join();
      gain += this.#byKey.get(key)?.hosts.length ?? 0;
    }
    return gain;
  }
}

type Candidate = { pattern: Pattern; gain: number };

/** Compares by freed hosts for each fix, then by freed hosts; the order of the input never decides. */
function isBetter(a: Candidate, b: Candidate): boolean {
  const byRatio = a.gain * b.pattern.left.length - b.gain * a.pattern.left.length;
  if (byRatio !== 0) return byRatio > 0;
  if (a.gain !== b.gain) return a.gain > b.gain;
  return a.pattern.key < b.pattern.key;
}

function ascending(a: number, b: number): number {
  return a - b;
}
