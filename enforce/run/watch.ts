/** Looks at the collector's findings for a plan that is carried out: refused calls, and time that was watched. */
import type { Cloud } from '../cloud.ts';
import type { Findings, TokenlessCall } from '../findings.ts';
import { ownGroup, scalingGroupOf } from '../groups.ts';
import type { Plan, Target } from '../plan.ts';
import type { NewEvent, PlanEvent } from '../state/events.ts';
import type { PlanState } from '../state/step_state.ts';
import { Launches } from './launches.ts';
import { isSoakOver, type Launched, SoakWatch } from './soak_watch.ts';

/** A call takes a while to reach the collector, so the last minutes are looked at each time. */
const OVERLAP_MS = 600_000;
/** A call may come later than that. All calls since the plan's begin are looked at this often, and when a soak is over. */
const WHOLE_LOOK_MS = 60_000;
/** The clock of a host may be wrong by this much. */
const HOST_CLOCK_MS = 24 * 3_600_000;
/** Time of one look for asking where callers run. Roll-backs of hundreds of callers do not wait for all answers. */
const CALLERS_MS = 1000;

export interface WatchOptions {
  plan: Plan;
  findings: Findings;
  cloudOf: (target: Target) => Cloud;
  /** `pastOf` reads it from the journal. */
  past: Past;
  /** Time of this machine's clock, which can be set at any time. Milliseconds since 1970. */
  wallMs: () => number;
  /** Called when the collector cannot be asked any more, and with null when it answers again. */
  onProblem?: (problem: string | null) => void;
  /** Milliseconds of any clock that is never set. */
  elapsedMs?: () => number;
}

/** The journal of a plan says this about the refused calls of before. */
export interface Past {
  /** Ids of refused calls that it has already. */
  knownCalls: readonly string[];
  /** When the plan was begun, by the runner's clock. Milliseconds since 1970. */
  begunMs: number;
  /** The plan has sent a change, so that any refused call may be its work. */
  hasSent: boolean;
}

/** `nowMs`: by the runner's clock, for a plan that begins. */
export function pastOf(events: readonly PlanEvent[], nowMs: number): Past {
  return {
    knownCalls: events.flatMap((event) => {
      if (event.type === 'earlier_calls') return event.calls;
      return event.type === 'refused_call' ? [event.call] : [];
    }),
    begunMs: events.find(({ type }) => type === 'begun')?.at ?? nowMs,
    hasSent: events.some(({ type }) => type === 'sending'),
  };
}

export class Watch {
  readonly #options: WatchOptions;
  readonly #known: Set<string>;
  readonly #groupOfHost = new Map<string, string>();
  readonly #groups: ReadonlySet<string>;
  readonly #scalingGroups: string[];
  readonly #launches: Launches;
  readonly #soaks: SoakWatch;
  #launched: Launched = new Map();
  #wholeLookMs = Number.NEGATIVE_INFINITY;
  /** Calls that were followed before it was known where else their callers run. */
  readonly #unasked = new Map<string, TokenlessCall>();
  /**
   * The least that the machine's clock was ahead of the runner's, so 0 or less after it was set back. Hosts may have
   * followed each setting of the clock or not, so calls are looked for from the earlier time.
   */
  #offsetMs = Number.POSITIVE_INFINITY;
  /** Why the collector cannot be asked; null while it answers. Nothing goes forward with a problem. */
  problem: string | null = null;

  constructor(options: WatchOptions) {
    const { plan, findings } = options;
    this.#options = options;
    this.#known = new Set(options.past.knownCalls);
    for (const { id, hosts } of plan.groups) {
      for (const host of hosts) this.#groupOfHost.set(host, id);
    }
    this.#groups = new Set(plan.groups.map(({ id }) => id));
    this.#scalingGroups = [...this.#groups].flatMap((id) => scalingGroupOf(id) ?? []);
    this.#launches = new Launches(options);
    this.#soaks = new SoakWatch(plan, findings);
  }

  /**
   * Returns what was found. A collector that cannot be asked is a problem, not an error, and what it had answered before
   * counts: a refused call is never lost because the next question failed. `nowMs`: by the runner's clock, which cannot
   * be set.
   */
  async look(state: PlanState, nowMs: number): Promise<NewEvent[]> {
    const offsetMs = this.#options.wallMs() - nowMs;
    this.#offsetMs = Math.min(this.#offsetMs, offsetMs);
    const events: NewEvent[] = [];
    const problems: string[] = [];
    const asked = async <T>(question: () => Promise<T>): Promise<T | null> => {
      try {
        return await question();
      } catch (error) {
        problems.push((error as Error).message);
        return null;
      }
    };
    this.#launched = (await asked(() => this.#launches.look(state, nowMs))) ?? this.#launched;
    // Watched time is asked for first. Calls that came with the reports that vouch for it are found after that.
    const observed = await asked(() => this.#soaks.observe(state, this.#launched, { nowMs, offsetMs }));
    const isOver = observed !== null && isSoakOver(this.#options.plan, state, observed);
    await asked(() => this.#refusedCalls({ nowMs, isOver }, events));
    if (problems.length === 0 && observed !== null) events.push(observed);
    this.#setProblem(problems[0] ?? null);
    return events;
  }

  #setProblem(problem: string | null): void {
    const isNews = (problem === null) !== (this.problem === null);
    this.problem = problem;
    if (isNews) this.#options.onProblem?.(problem);
  }

  /** Adds events of refused calls. Those that were added stay when a later question fails. */
  async #refusedCalls(
    { nowMs, isOver }: { nowMs: number; isOver: boolean },
    events: NewEvent[],
  ): Promise<void> {
    const { findings, plan } = this.#options;
    const begunMs = this.#options.past.begunMs + this.#offsetMs;
    const isFirst = this.#wholeLookMs === Number.NEGATIVE_INFINITY;
    const isWhole = isFirst || isOver || Math.abs(nowMs - this.#wholeLookMs) >= WHOLE_LOOK_MS;
    const hostIds = [...new Set([...this.#groupOfHost.keys(), ...[...this.#launched.values()].flat()])];
    const watched = { hostIds, scalingGroups: this.#scalingGroups };
    const callers = new CallerHosts(findings, this.#options.elapsedMs ?? (() => performance.now()));
    // The plan has not caused what was refused before it. A call that comes after its first change and is dated before
    // is another matter: the clock of its host may be behind. A runner that takes over cannot tell by the time either.
    const olderThanMs = isFirst && !this.#options.past.hasSent ? begunMs : Number.NEGATIVE_INFINITY;
    const follow = async (calls: readonly TokenlessCall[]) => {
      const earlier: string[] = [];
      for (const call of calls.toSorted((a, b) => a.atMs - b.atMs)) {
        if (this.#known.has(call.id)) continue;
        const isOlder = call.atMs < olderThanMs;
        const isOurs =
          this.#groupsOf(call).length > 0 || effectsOn(call.hostId, plan, this.#launched).length > 0;
        // The host of a call that is not ours now may turn out to be launched with a change.
        if (isOurs || isOlder) this.#known.add(call.id);
        if (isOlder) earlier.push(call.id);
        if (!isOurs || isOlder) continue;
        const hosts = await callers.of(call);
        // The roll-back does not wait for the answer.
        if (hosts === null) this.#unasked.set(call.id, call);
        events.push(this.#eventOf(call, hosts ?? new Set()));
      }
      if (earlier.length > 0) events.push({ type: 'earlier_calls', calls: earlier });
    };
    const unasked = [...this.#unasked.values()];
    // The latest calls come first: a question about all of them may take longer than it is waited for.
    await follow(await findings.refusedCalls(nowMs + this.#offsetMs - OVERLAP_MS, watched));
    for (const call of unasked) {
      const hosts = await callers.of(call);
      if (hosts === null) break;
      this.#unasked.delete(call.id);
      const event = this.#eventOf(call, hosts);
      if (event.also_on.length > 0) events.push(event);
    }
    if (isWhole) {
      await follow(await findings.refusedCalls(begunMs - HOST_CLOCK_MS, watched));
      this.#wholeLookMs = nowMs;
    }
    if (callers.failure !== null) throw callers.failure;
  }

  /** `hosts`: those on which the caller was seen. */
  #eventOf(call: TokenlessCall, hosts: ReadonlySet<string>) {
    const { plan } = this.#options;
    const also = plan.steps.flatMap(({ target }) =>
      target.type === 'instance' && target.instance_id !== call.hostId && hosts.has(target.instance_id)
        ? [target.instance_id]
        : [],
    );
    return {
      type: 'refused_call' as const,
      host: call.hostId,
      groups: this.#groupsOf(call),
      effect_of: effectsOn(call.hostId, plan, this.#launched),
      caller: call.caller,
      call: call.id,
      also_on: [...new Set(also)],
    };
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
}

/**
 * Asks where callers were seen, once for each in a look: not again after a question has failed, and no more when the time
 * of the look is used up.
 */
class CallerHosts {
  readonly #findings: Pick<Findings, 'hostsOfCaller'>;
  readonly #elapsedMs: () => number;
  readonly #known = new Map<string, ReadonlySet<string>>();
  /** When the first question was asked. */
  #sinceMs: number | null = null;
  failure: Error | null = null;

  constructor(findings: Pick<Findings, 'hostsOfCaller'>, elapsedMs: () => number) {
    this.#findings = findings;
    this.#elapsedMs = elapsedMs;
  }

  /** Returns null where it cannot be asked now. */
  async of({ caller: { id } }: TokenlessCall): Promise<ReadonlySet<string> | null> {
    const known = this.#known.get(id);
    if (known !== undefined || this.failure !== null) return known ?? null;
    this.#sinceMs ??= this.#elapsedMs();
    if (this.#elapsedMs() - this.#sinceMs >= CALLERS_MS) return null;
    try {
      const hosts = new Set(await this.#findings.hostsOfCaller(id));
      this.#known.set(id, hosts);
      return hosts;
    } catch (error) {
      this.failure = error as Error;
      return null;
    }
  }
}

/** Returns the steps that the host was launched with, and those that have made the version that it was launched from. */
function effectsOn(hostId: string, { steps }: Plan, launched: Launched): string[] {
  const found = steps.filter(({ id }) => launched.get(id)?.includes(hostId) === true);
  const makers = found.flatMap(({ target }) => ('created_by' in target ? [target.created_by] : []));
  return [...new Set([...found.map(({ id }) => id), ...makers])];
}
