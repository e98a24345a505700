/** Looks at the collector's findings for a plan that is carried out: refused calls, and time that was watched. */
import type { Findings, TokenlessCall } from '../findings.ts';
import { ownGroup, scalingGroupOf } from '../groups.ts';
import type { Plan, PlanStep } from '../plan.ts';
import type { NewEvent } from '../state/events.ts';
import { soakMs } from '../state/intents.ts';
import type { PlanState, StepState } from '../state/step_state.ts';

/** A call reaches the collector late when its agent was cut off, so the last minutes are looked at again. */
const OVERLAP_MS = 600_000;
/** Watched time is written to the journal this often, and at once when a soak begins or may be over. */
const OBSERVE_MS = 10_000;

export interface WatchOptions {
  plan: Plan;
  findings: Findings;
  /** Ids of refused calls that the journal has already. */
  knownCalls: Iterable<string>;
  /** When the plan was begun, and when the runner before this one wrote last. Milliseconds since 1970. */
  begunMs: number;
  lastEventMs: number;
  /** Called when the collector cannot be asked any more, and with null when it answers again. */
  onProblem?: (problem: string | null) => void;
}

export class Watch {
  readonly #options: WatchOptions;
  readonly #known: Set<string>;
  readonly #groupOfHost = new Map<string, string>();
  readonly #groups: ReadonlySet<string>;
  readonly #watched: { hostIds: string[]; scalingGroups: string[] };
  #sinceMs: number;
  #observedMs = Number.NEGATIVE_INFINITY;
  /** Why the collector cannot be asked; null while it answers. Nothing goes forward with a problem. */
  problem: string | null = null;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#known = new Set(options.knownCalls);
    this.#sinceMs = Math.max(options.begunMs, options.lastEventMs - OVERLAP_MS);
    for (const { id, hosts } of options.plan.groups) {
      for (const host of hosts) this.#groupOfHost.set(host, id);
    }
    this.#groups = new Set(options.plan.groups.map(({ id }) => id));
    this.#watched = {
      hostIds: [...this.#groupOfHost.keys()],
      scalingGroups: [...this.#groups].flatMap((id) => scalingGroupOf(id) ?? []),
    };
  }

  /** Returns what was found. A collector that cannot be asked is a problem, not an error. */
  async look(state: PlanState, nowMs: number): Promise<NewEvent[]> {
    try {
      const events = [...(await this.#refusedCalls(nowMs)), ...(await this.#observed(state, nowMs))];
      this.#setProblem(null);
      return events;
    } catch (error) {
      this.#setProblem((error as Error).message);
      return [];
    }
  }

  #setProblem(problem: string | null): void {
    const isNews = (problem === null) !== (this.problem === null);
    this.problem = problem;
    if (isNews) this.#options.onProblem?.(problem);
  }

  async #refusedCalls(nowMs: number): Promise<NewEvent[]> {
    const { findings, plan } = this.#options;
    const calls = await findings.refusedCalls(this.#sinceMs, this.#watched);
    this.#sinceMs = Math.max(this.#sinceMs, nowMs - OVERLAP_MS);
    const events: NewEvent[] = [];
    for (const call of calls.toSorted((a, b) => a.atMs - b.atMs)) {
      if (this.#known.has(call.id)) continue;
      this.#known.add(call.id);
      const groups = this.#groupsOf(call);
      if (groups.length === 0) continue;
      const hosts = new Set(await findings.hostsOfCaller(call.caller.id));
      const also = plan.steps.flatMap(({ target }) =>
        target.type === 'instance' && target.instance_id !== call.hostId && hosts.has(target.instance_id)
          ? [target.instance_id]
          : [],
      );
      events.push({
        type: 'refused_call',
        host: call.hostId,
        groups,
        caller: call.caller,
        call: call.id,
        also_on: [...new Set(also)],
      });
    }
    return events;
  }

  /** A host that was launched after the plan was made belongs to its group by its tags. */
  #groupsOf({ hostId, tags }: TokenlessCall): string[] {
    const planned = this.#groupOfHost.get(hostId);
    if (planned !== undefined) return [planned];
    const places = this.#options.plan.steps.map(({ target }) => target);
    const groups = new Set(places.map((place) => ownGroup(tags, place)).filter((id) => this.#groups.has(id)));
    // Instances without a group that the plan does not know are none of it.
    return [...groups].filter((id) => !id.startsWith('none:'));
  }

  async #observed(state: PlanState, nowMs: number): Promise<NewEvent[]> {
    const { plan, findings } = this.#options;
    const soaking = plan.steps.filter(({ id }) => state.steps[id]!.status === 'soaking');
    const applied = plan.steps.filter(({ id }) => state.steps[id]!.status === 'applied');
    const passedMs = Math.abs(nowMs - this.#observedMs);
    const mayBeOver = soaking.some(
      (step) => soakMs(plan, step) - state.steps[step.id]!.watchedMs <= passedMs,
    );
    const isDue = mayBeOver || passedMs >= OBSERVE_MS;
    if (applied.length === 0 && (soaking.length === 0 || !isDue)) return [];
    this.#observedMs = nowMs;
    const watched: Record<string, number> = {};
    const online = new Set(
      (await findings.hosts(this.#hostsOf(applied))).filter(isWatching).map(({ hostId }) => hostId),
    );
    for (const step of applied) {
      if (this.#hostsOf([step]).every((id) => online.has(id))) watched[step.id] = 0;
    }
    // Steps that began to soak at the same time share one question.
    const bySince = Map.groupBy(soaking, ({ id }) => state.steps[id]!.sinceMs);
    for (const [sinceMs, steps] of bySince) {
      const ms = await findings.watched(this.#hostsOf(steps), { sinceMs, untilMs: nowMs });
      for (const step of steps) watched[step.id] = least(this.#hostsOf([step]).map((id) => ms.get(id) ?? 0));
    }
    const isNews = Object.entries(watched).some(([id, ms]) => isMore(state.steps[id]!, ms));
    return isNews ? [{ type: 'observed', watched }] : [];
  }

  /** Hosts whose agents watch a step: its own, or those of its groups, or all of the plan. */
  #hostsOf(steps: readonly PlanStep[]): string[] {
    const { groups } = this.#options.plan;
    const hosts = steps.flatMap(({ target, group }) => {
      if (target.type === 'instance') return [target.instance_id];
      const wanted = target.type === 'template' ? target.groups : [group];
      const members = groups.filter(({ id }) => wanted.includes(id)).flatMap((each) => each.hosts);
      return members.length > 0 ? members : groups.flatMap((each) => each.hosts);
    });
    return [...new Set(hosts)];
  }
}

function isWatching({ isOnline, isLive }: { isOnline: boolean; isLive: boolean }): boolean {
  return isOnline && isLive;
}

function isMore({ status, watchedMs }: StepState, ms: number): boolean {
  return status === 'applied' || ms > watchedMs;
}

function least(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : Math.min(...numbers);
}
