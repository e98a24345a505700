/** Looks at the collector's findings for a plan that is carried out: refused calls, and time that was watched. */
import type { Findings, TokenlessCall } from '../findings.ts';
import { ownGroup, scalingGroupOf } from '../groups.ts';
import type { Plan, PlanStep } from '../plan.ts';
import type { NewEvent } from '../state/events.ts';
import { soakMs } from '../state/intents.ts';
import type { PlanState, StepState } from '../state/step_state.ts';

/** A call reaches the collector late when its agent was cut off, so the last minutes are looked at again. */
const OVERLAP_MS = 600_000;
/** A call may come later than that. All calls since the plan's begin are looked at this often, and when a soak is over. */
const WHOLE_LOOK_MS = 60_000;
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

interface Observed {
  events: NewEvent[];
  /** Some step has been watched for its whole soak now. */
  isOver: boolean;
}

const NOTHING_OBSERVED: Observed = { events: [], isOver: false };

export class Watch {
  readonly #options: WatchOptions;
  readonly #known: Set<string>;
  readonly #groupOfHost = new Map<string, string>();
  readonly #groups: ReadonlySet<string>;
  readonly #watched: { hostIds: string[]; scalingGroups: string[] };
  #sinceMs: number;
  #wholeLookMs = Number.NEGATIVE_INFINITY;
  /** Calls that were followed before it was known where else their callers run. */
  readonly #unasked = new Map<string, TokenlessCall>();
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

  /**
   * Returns what was found. A collector that cannot be asked is a problem, not an error, and what it had answered before
   * counts: a refused call is never lost because the next question failed.
   */
  async look(state: PlanState, nowMs: number): Promise<NewEvent[]> {
    const events: NewEvent[] = [];
    let problem: string | null = null;
    const asked = async (question: () => Promise<void>): Promise<void> => {
      try {
        await question();
      } catch (error) {
        problem ??= (error as Error).message;
      }
    };
    // Watched time is asked for first. Calls that came with the reports that vouch for it are found after that.
    let observed: Observed | null = null;
    await asked(async () => {
      observed = await this.#observed(state, nowMs);
    });
    const isOver = (observed as Observed | null)?.isOver ?? false;
    await asked(() => this.#refusedCalls(nowMs, isOver, events));
    if (problem === null && observed !== null) events.push(...(observed as Observed).events);
    this.#setProblem(problem);
    return events;
  }

  #setProblem(problem: string | null): void {
    const isNews = (problem === null) !== (this.problem === null);
    this.problem = problem;
    if (isNews) this.#options.onProblem?.(problem);
  }

  /** Adds events of refused calls. Those that were added stay when a later question fails. */
  async #refusedCalls(nowMs: number, isSoakOver: boolean, events: NewEvent[]): Promise<void> {
    const { findings, begunMs } = this.#options;
    const isWhole = isSoakOver || Math.abs(nowMs - this.#wholeLookMs) >= WHOLE_LOOK_MS;
    const calls = await findings.refusedCalls(isWhole ? begunMs : this.#sinceMs, this.#watched);
    this.#sinceMs = Math.max(this.#sinceMs, nowMs - OVERLAP_MS);
    if (isWhole) this.#wholeLookMs = nowMs;
    const callerHosts = new Map<string, ReadonlySet<string>>();
    let failure: Error | null = null;
    const hostsOf = async ({ caller: { id } }: TokenlessCall): Promise<ReadonlySet<string> | null> => {
      if (failure !== null) return callerHosts.get(id) ?? null;
      try {
        const hosts = callerHosts.get(id) ?? new Set(await findings.hostsOfCaller(id));
        callerHosts.set(id, hosts);
        return hosts;
      } catch (error) {
        failure = error as Error;
        return null;
      }
    };
    for (const call of this.#unasked.values()) {
      const hosts = await hostsOf(call);
      if (hosts === null) break;
      this.#unasked.delete(call.id);
      const also = this.#alsoOn(call, hosts);
      if (also.length > 0) events.push(this.#eventOf(call, this.#groupsOf(call), also));
    }
    for (const call of calls.toSorted((a, b) => a.atMs - b.atMs)) {
      if (this.#known.has(call.id)) continue;
      const groups = this.#groupsOf(call);
      if (groups.length > 0) {
        const hosts = await hostsOf(call);
        // The roll-back does not wait for the answer.
        if (hosts === null) this.#unasked.set(call.id, call);
        events.push(this.#eventOf(call, groups, hosts === null ? [] : this.#alsoOn(call, hosts)));
      }
      this.#known.add(call.id);
    }
    if (failure !== null) throw failure;
  }

  #eventOf({ id, hostId, caller }: TokenlessCall, groups: string[], also: string[]): NewEvent {
    return { type: 'refused_call', host: hostId, groups, caller, call: id, also_on: also };
  }

  /** Returns the plan's other instances on which the caller was seen. */
  #alsoOn({ hostId }: TokenlessCall, hosts: ReadonlySet<string>): string[] {
    const also = this.#options.plan.steps.flatMap(({ target }) =>
      target.type === 'instance' && target.instance_id !== hostId && hosts.has(target.instance_id)
        ? [target.instance_id]
        : [],
    );
    return [...new Set(also)];
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

  async #observed(state: PlanState, nowMs: number): Promise<Observed> {
    const { plan, findings } = this.#options;
    const soaking = plan.steps.filter(({ id }) => state.steps[id]!.status === 'soaking');
    const applied = plan.steps.filter(({ id }) => state.steps[id]!.status === 'applied');
    const passedMs = Math.abs(nowMs - this.#observedMs);
    const mayBeOver = soaking.some(
      (step) => soakMs(plan, step) - state.steps[step.id]!.watchedMs <= passedMs,
    );
    const isDue = mayBeOver || passedMs >= OBSERVE_MS;
    if (applied.length === 0 && (soaking.length === 0 || !isDue)) return NOTHING_OBSERVED;
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
    const isOver = soaking.some((step) => {
      const { watchedMs } = state.steps[step.id]!;
      return watchedMs < soakMs(plan, step) && watched[step.id]! >= soakMs(plan, step);
    });
    return { events: isNews ? [{ type: 'observed', watched }] : [], isOver };
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
