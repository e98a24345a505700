/** Reads the triage of workloads: what is stored, and the calls that end it. */
import type { Triage, TriageRecord } from '../contract/triage.ts';
import type { Identity } from '../store/store.ts';
import type { WorkloadQueries } from '../store/workload_queries.ts';
import { titleOf } from './offenders.ts';
import { type OwnerRule, ownerOf, type TagValues } from './owner_rules.ts';
import { triageOf } from './triage.ts';

export interface TriageOptions {
  /** Returns what is stored. Default: nothing. */
  triage?: () => Promise<readonly TriageRecord[]>;
  ownerRules?: readonly OwnerRule[];
}

/** The triage of all workloads at one moment. */
export interface TriageNow {
  /** `valuesOf`: values of tags on the hosts of the workload, for owners by tag. */
  of(identity: Identity, valuesOf: TagValues): Triage;
  /** The same without an owner by rule. */
  stateOf(workload: string): Triage;
}

/** A workload with a stored triage that ended by itself. */
export interface EndedTriage {
  id: string;
  title: string;
  triage: Triage;
}

export class TriageReader {
  readonly #store: WorkloadQueries;
  readonly #options: TriageOptions;
  readonly #nowUs: () => number;

  /** `nowUs`: microseconds since 1970. */
  constructor(store: WorkloadQueries, options: TriageOptions, nowUs: () => number) {
    this.#store = store;
    this.#options = options;
    this.#nowUs = nowUs;
  }

  /** Returns the keys of the tags that name owners. */
  tagKeys(): string[] {
    const rules = this.#options.ownerRules ?? [];
    return [...new Set(rules.flatMap((rule) => (rule.kind === 'tag' ? [rule.key] : [])))];
  }

  async now(): Promise<TriageNow> {
    const nowUs = this.#nowUs();
    const byWorkload = await this.#records();
    const lastV1 = await this.#lastCalls(byWorkload);
    const judged = (id: string, ruleOwner: string | null) =>
      triageOf(byWorkload.get(id) ?? [], { lastV1Us: lastV1.get(id) ?? null, nowUs, ruleOwner });
    const rules = this.#options.ownerRules ?? [];
    return {
      of: (identity, valuesOf) => judged(identity.id, ownerOf(rules, identity, valuesOf)),
      stateOf: (workload) => judged(workload, null),
    };
  }

  /**
   * Returns the workloads that were fixed and called again, and those whose exception is over, however long ago that
   * was.
   */
  async ended(): Promise<EndedTriage[]> {
    const [now, byWorkload] = await Promise.all([this.now(), this.#records()]);
    const ids = [...byWorkload.keys()].filter((id) => now.stateOf(id).ended !== null);
    if (ids.length === 0) return [];
    const ever = { sinceUs: 0, untilUs: Number.MAX_SAFE_INTEGER };
    const [identities, hosts] = await Promise.all([
      this.#store.identities(ids),
      this.#store.workloadHosts(
        { window: ever, hosts: null, identities: ids },
        { latest: 0, tagKeys: this.tagKeys() },
      ),
    ]);
    const tagsOf = new Map(hosts.map(({ identity, tags }) => [identity, tags]));
    return identities.map((identity) => {
      const tags = tagsOf.get(identity.id);
      const triage = now.of(identity, (key) => tags?.[key] ?? []);
      return { id: identity.id, title: titleOf(identity), triage };
    });
  }

  /** Returns the ids of all stored records of a workload. */
  async recordIds(workload: string): Promise<string[]> {
    return ((await this.#records()).get(workload) ?? []).map((record) => record.workload);
  }

  async #records(): Promise<Map<string, TriageRecord[]>> {
    const records = (await this.#options.triage?.()) ?? [];
    if (records.length === 0) return new Map();
    const workloads = await this.#store.workloadIds(records.map(({ workload }) => workload));
    return Map.groupBy(records, ({ workload }) => workloads.get(workload)!);
  }

  /** Returns the last IMDSv1 call, on any host, of the workloads that were fixed before it. */
  async #lastCalls(byWorkload: ReadonlyMap<string, readonly TriageRecord[]>): Promise<Map<string, number>> {
    const fixed = [...byWorkload].flatMap(([id, records]) => {
      const times = records.flatMap(({ state, setUs }) => (state === 'fixed' ? [setUs] : []));
      return times.length === 0 ? [] : [{ id, sinceUs: Math.min(...times) }];
    });
    const last = new Map<string, number>();
    if (fixed.length === 0) return last;
    // A host's clock may be ahead: its calls count too, at whatever time.
    const window = {
      sinceUs: fixed.reduce((least, { sinceUs }) => Math.min(least, sinceUs), Number.MAX_SAFE_INTEGER),
      untilUs: Number.MAX_SAFE_INTEGER,
    };
    const identities = fixed.map(({ id }) => id);
    for (const { identity, lastV1Us } of await this.#store.workloadHosts(
      { window, hosts: null, identities },
      { latest: 0, tagKeys: [] },
    )) {
      if (lastV1Us !== null) last.set(identity, lastV1Us);
    }
    return last;
  }
}
