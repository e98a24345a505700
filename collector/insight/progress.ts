/** Answers what to fix first, and how the number of callers falls. It only composes: the pure files decide. */
import type { BurnDown, FixFirst } from '../contract/fix_first.ts';
import { DAY_US, type Window } from '../contract/window.ts';
import type { HostChoice } from '../store/host_filter.ts';
import type { MembersPlace, StoredMembers } from '../store/store.ts';
import { toTimestamp } from '../store/time.ts';
import type { WorkloadQueries } from '../store/workload_queries.ts';
import { burnDownOf } from './burn_down.ts';
import { fixFirstOf, groupsOf, type Held, HeldHosts } from './fix_first.ts';
import { MAX_WEEKS } from './forecast.ts';
import type { HostJudge } from './host_judge.ts';
import type { TriageReader } from './triage_reader.ts';

const WEEK_DAYS = 7;
/** Members that are read at a time. */
const MEMBERS_AT_ONCE = 5000;

export interface ProgressOptions {
  readinessWindowDays: number;
  toleranceUs: number;
}

export class Progress {
  readonly #store: WorkloadQueries;
  readonly #judge: HostJudge;
  readonly #triage: TriageReader;
  readonly #options: ProgressOptions;

  constructor(store: WorkloadQueries, judge: HostJudge, triage: TriageReader, options: ProgressOptions) {
    this.#store = store;
    this.#judge = judge;
    this.#triage = triage;
    this.#options = options;
  }

  /** Returns the hosts among those that are chosen whose IMDSv1 calls keep tokens from being required. */
  async held(window: Window, hosts: HostChoice): Promise<Held> {
    const found = this.heldHosts();
    for await (const { briefs, profileOf } of this.#judge.judgeAll(window, hosts)) {
      for (const brief of briefs) found.add(brief, profileOf(brief));
    }
    return this.completeHeld(found, window);
  }

  /** Returns a collection of held hosts without any. */
  heldHosts(): HeldHosts {
    return new HeldHosts(this.#options.toleranceUs);
  }

  /** Adds what else is known of the groups of held hosts. */
  async completeHeld(found: HeldHosts, questionWindow: Window): Promise<Held> {
    const window = this.#judge.readinessWindow(questionWindow);
    return {
      window,
      hosts: found.hosts,
      workloads: found.workloadsWith(this.#triage.tagKeys()),
      agentlessGroups: found.hosts.length === 0 ? new Set() : await this.#agentlessGroups(window),
    };
  }

  /** `limit`: largest number of fixes. `asOfUs`: when the hosts were judged. */
  async fixFirst(held: Held, asOfUs: number, limit: number): Promise<FixFirst> {
    const ids = new Set(held.hosts.flatMap(({ callers }) => callers));
    const [triage, identities] = await Promise.all([this.#triage.now(), this.#store.identities([...ids])]);
    return {
      window: { from: toTimestamp(held.window.sinceUs), to: toTimestamp(held.window.untilUs) },
      as_of: toTimestamp(asOfUs),
      ...fixFirstOf({
        held,
        identities: new Map(identities.map((identity) => [identity.id, identity])),
        triage,
        limit,
      }),
    };
  }

  /** Returns the groups with an instance in the window of which no agent has reported. */
  async #agentlessGroups(window: Window): Promise<Set<string>> {
    const without = new Set<number>();
    for (let after: MembersPlace | null = 0; after !== null; ) {
      const stored: StoredMembers = await this.#store.members(window, null, after, MEMBERS_AT_ONCE, false);
      const { columns, memberOf, profileOf, next } = stored;
      for (const [index, member] of memberOf.entries())
        if (Number.isNaN(columns.firstUs[member]!)) without.add(profileOf[index]!);
      after = next;
    }
    const profiles = await this.#store.profiles();
    return new Set([...without].flatMap((id) => groupsOf(profiles.get(id)?.facts ?? {})));
  }

  /** The chart has the days of `window` until now. */
  async burnDown({ sinceUs, untilUs }: Window, hosts: HostChoice, nowUs: number): Promise<BurnDown> {
    const windowDays = this.#options.readinessWindowDays;
    const today = Math.floor(Math.min(untilUs - 1, nowUs) / DAY_US);
    const days = Math.max(1, today - Math.floor(sinceUs / DAY_US) + 1);
    const from = today - Math.max(days + windowDays, MAX_WEEKS * WEEK_DAYS);
    const [called, reported] = await Promise.all([
      this.#store.callingDays(from, today + 1, hosts),
      this.#store.reportedDays(hosts),
    ]);
    const numbers = new Map<string, number>();
    const numberOf = (id: string) => {
      const number = numbers.get(id) ?? numbers.size;
      numbers.set(id, number);
      return number;
    };
    return burnDownOf({
      hosts: called.days.map(({ day, hosts: callers }) => ({ day, callers })),
      workloads: called.days.map(({ day, identities }) => ({
        day,
        callers: Uint32Array.from(identities, (id) => numberOf(id)),
      })),
      // The first stored day is left out: the hours before its first call are not known.
      firstDay: called.firstDay === null ? null : called.firstDay + 1,
      today,
      days,
      windowDays,
      reported,
    });
  }
}
