/** Counts the time for which the changes of a plan were watched, and says what a soak waits for. */
import type { Findings } from '../findings.ts';
import type { Plan, PlanStep } from '../plan.ts';
import type { EventOf } from '../state/events.ts';
import { soakMs } from '../state/intents.ts';
import { concernsLaunches, type PlanState } from '../state/step_state.ts';

/** Watched time is written to the journal this often, and at once when a soak begins or may be over. */
const OBSERVE_MS = 10_000;

/** The clock of the machine is adjusted in small steps all the time. */
const SAME_CLOCK_MS = 1000;

/** Hosts that were launched with a step's change, by step. */
export type Launched = ReadonlyMap<string, readonly string[]>;

interface Observation {
  watchedMs: number;
  /** Why the time stands still; empty if it does not. */
  waitsFor: string;
}

export class SoakWatch {
  readonly #plan: Plan;
  readonly #findings: Pick<Findings, 'hosts' | 'watched'>;
  #observedMs = Number.NEGATIVE_INFINITY;

  constructor(plan: Plan, findings: Pick<Findings, 'hosts' | 'watched'>) {
    this.#plan = plan;
    this.#findings = findings;
  }

  /**
   * Returns what is new about the soaks; null if nothing is. `nowMs` is of the runner's clock, and `offsetMs` what the
   * machine's clock is ahead of it. Throws `OperatorError` if the collector cannot be asked.
   */
  async observe(
    state: PlanState,
    launched: Launched,
    { nowMs, offsetMs }: { nowMs: number; offsetMs: number },
  ): Promise<Omit<EventOf<'observed'>, 'at'> | null> {
    const inState = (wanted: string) =>
      this.#plan.steps.filter(({ id }) => state.steps[id]!.status === wanted);
    // A soak that is over is judged; it is not watched any longer.
    const soaking = inState('soaking').filter((step) => this.#restMs(step, state) > 0);
    const applied = inState('applied');
    const passedMs = Math.abs(nowMs - this.#observedMs);
    const mayBeOver = soaking.some((step) => this.#restMs(step, state) <= passedMs);
    const isDue = mayBeOver || passedMs >= OBSERVE_MS;
    if (applied.length === 0 && (soaking.length === 0 || !isDue)) return null;
    this.#observedMs = nowMs;
    const observed = new Map<string, Observation>([
      ...(await this.#soaking(soaking, state, launched, { nowMs, offsetMs })),
      ...(await this.#beginning(applied)),
    ]);
    const watched: Record<string, number> = {};
    const waits: Record<string, string> = {};
    for (const [id, { watchedMs, waitsFor }] of observed) {
      const { status, watchedMs: known, reason } = state.steps[id]!;
      const isBegun = status === 'applied' && waitsFor === '';
      if (isBegun || (status === 'soaking' && watchedMs > known)) watched[id] = watchedMs;
      if (waitsFor !== (reason ?? '')) waits[id] = waitsFor;
    }
    if (Object.keys(watched).length + Object.keys(waits).length === 0) return null;
    return { type: 'observed', watched, waits };
  }

  #restMs(step: PlanStep, state: PlanState): number {
    return soakMs(this.#plan, step) - state.steps[step.id]!.watchedMs;
  }

  /** The soak of an instance begins when its agent watches. What is launched later is watched from its launch. */
  async #beginning(steps: readonly PlanStep[]): Promise<[string, Observation][]> {
    const asked = steps.flatMap(({ target }) => (target.type === 'instance' ? [target.instance_id] : []));
    const blind = await this.#blind(asked);
    return steps.map(({ id, target }) => {
      const obstacle = target.type === 'instance' ? blind.get(target.instance_id) : undefined;
      const waitsFor = obstacle === undefined ? '' : `Its soak has not begun: ${obstacle}`;
      return [id, { watchedMs: 0, waitsFor }];
    });
  }

  async #soaking(
    soaking: readonly PlanStep[],
    state: PlanState,
    launched: Launched,
    clock: { nowMs: number; offsetMs: number },
  ): Promise<[string, Observation][]> {
    const found: [string, Observation][] = [];
    const still: PlanStep[] = [];
    // Steps that began to soak at the same time share one question.
    const bySince = Map.groupBy(soaking, ({ id }) => state.steps[id]!.sinceMs);
    for (const [sinceMs, steps] of bySince) {
      const hosts = [...new Set(steps.flatMap((step) => hostsOf(step, launched)))];
      const ms = await this.#watched(hosts, sinceMs, clock);
      for (const step of steps) {
        const own = hostsOf(step, launched);
        const watchedMs = own.reduce((sum, id) => sum + (ms.get(id) ?? 0), 0);
        const isStill = step.target.type === 'instance' && watchedMs <= state.steps[step.id]!.watchedMs;
        if (isStill) still.push(step);
        else found.push([step.id, { watchedMs, waitsFor: waitsForLaunch(step, own, watchedMs) }]);
      }
    }
    const blind = await this.#blind(still.flatMap((step) => hostsOf(step, launched)));
    for (const step of still) {
      const obstacle = hostsOf(step, launched).flatMap((id) => blind.get(id) ?? [])[0];
      // The next report vouches for the time since the last one.
      const waitsFor = obstacle === undefined ? '' : `Its soak stands still: ${obstacle}`;
      found.push([step.id, { watchedMs: state.steps[step.id]!.watchedMs, waitsFor }]);
    }
    return found;
  }

  /**
   * Returns the watched time of hosts since a time of the runner's clock. After the machine's clock was set, nobody knows if
   * hosts and collector have followed, so the smaller answer counts.
   */
  async #watched(
    hosts: readonly string[],
    sinceMs: number,
    { nowMs, offsetMs }: { nowMs: number; offsetMs: number },
  ): Promise<ReadonlyMap<string, number>> {
    const watched = await this.#findings.watched(hosts, { sinceMs, untilMs: nowMs });
    if (Math.abs(offsetMs) < SAME_CLOCK_MS) return watched;
    const span = { sinceMs: sinceMs + offsetMs, untilMs: nowMs + offsetMs };
    const other = await this.#findings.watched(hosts, span);
    return new Map([...watched].map(([id, ms]) => [id, Math.min(ms, other.get(id) ?? 0)]));
  }

  /** Returns why these hosts are not watched now. A host that is watched is absent. */
  async #blind(ids: readonly string[]): Promise<Map<string, string>> {
    if (ids.length === 0) return new Map();
    const findings = new Map((await this.#findings.hosts(ids)).map((each) => [each.hostId, each]));
    return new Map(
      ids.flatMap((id): [string, string][] => {
        const finding = findings.get(id);
        if (finding === undefined) return [[id, 'no agent of this host reports.']];
        if (!finding.isOnline) return [[id, 'its agent is silent, so nobody would see a refused call.']];
        return finding.isLive ? [] : [[id, "its agent's capture is not live."]];
      }),
    );
  }
}

/** Returns whether an observation ends the soak of a step. */
export function isSoakOver(
  plan: Plan,
  state: PlanState,
  { watched }: Pick<EventOf<'observed'>, 'watched'>,
): boolean {
  return plan.steps.some((step) => {
    const { status, watchedMs } = state.steps[step.id]!;
    const wantedMs = soakMs(plan, step);
    return status === 'soaking' && watchedMs < wantedMs && (watched[step.id] ?? 0) >= wantedMs;
  });
}

/** Hosts whose agents watch a step: its own, or those that were launched with it. */
function hostsOf({ id, target }: PlanStep, launched: Launched): readonly string[] {
  return target.type === 'instance' ? [target.instance_id] : (launched.get(id) ?? []);
}

/**
 * Watching instances that ran before proves nothing about a change of launches. The watched time of those that were
 * launched with it counts together, and never more of it than has passed.
 */
function waitsForLaunch(step: PlanStep, hosts: readonly string[], watchedMs: number): string {
  if (!concernsLaunches(step)) return '';
  if (hosts.length === 0) {
    return 'It waits for an instance with an agent that is launched with the change: nobody has seen a start with it. Start one, or decide with "confirm" and a reason.';
  }
  const count = hosts.length === 1 ? '1 instance was' : `${hosts.length} instances were`;
  if (watchedMs === 0)
    return `${count} launched with the change, and no report of an agent on it has come yet.`;
  return '';
}
