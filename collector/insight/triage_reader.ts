/** Reads the triage of workloads: what is stored, and the calls that end it. */
import type { FoundOwner } from '../contract/owner.ts';
import type { Triage, TriageRecord } from '../contract/triage.ts';
import type { Identity, WorkloadHosts } from '../store/store.ts';
import type { WorkloadQueries } from '../store/workload_queries.ts';
import { titleOf } from './offenders.ts';
import type { HostValues } from './owner_rules.ts';
import { NO_OWNERS, type Owners } from './owners.ts';
import { triageOf } from './triage.ts';

export interface TriageOptions {
  /** Returns what is stored. Default: nothing. */
  triage?: () => Promise<readonly TriageRecord[]>;
  /** Returns who owns what, as it is now. Default: nobody owns anything. */
  owners?: () => Owners;
}

/** The triage of all workloads at one moment. */
export interface TriageNow {
  /** `values`: facts about the hosts of the workload, for owners by tag and by account. */
  of(identity: Identity, values: HostValues): Triage;
  /** The same without an owner by rule. */
  stateOf(workload: string): Triage;
}

/** A workload with a stored triage that ended by itself. */
export interface EndedTriage {
  id: string;
  title: string;
  triage: Triage;
}

/** Returns what rules look at, of the hosts of a workload; null for no host. */
export function valuesOf(hosts: Pick<WorkloadHosts, 'tags' | 'accounts'> | null): HostValues {
  return { tag: (key) => hosts?.tags[key] ?? [], accounts: hosts?.accounts ?? [] };
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
  tagKeys(): readonly string[] {
    return this.#owners().tagKeys;
  }

  /** Returns what names the owner of a workload if no person does. */
  ownerOf(identity: Identity, values: HostValues): FoundOwner | null {
    return this.#owners().find(identity, values);
  }

  async now(): Promise<TriageNow> {
    const nowUs = this.#nowUs();
    const byWorkload = await this.#records();
    const lastV1 = await this.#lastCalls(byWorkload);
    const judged = (id: string, ruleOwner: FoundOwner | null) =>
      triageOf(byWorkload.get(id) ?? [], { lastV1Us: lastV1.get(id) ?? null, nowUs, ruleOwner });
    const owners = this.#owners();
    return {
      of: (identity, values) => judged(identity.id, owners.find(identity, values)),
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
    const hostsOf = new Map(hosts.map((each) => [each.identity, each]));
    return identities.map((identity) => {
      const triage = now.of(identity, valuesOf(hostsOf.get(identity.id) ?? null));
      return { id: identity.id, title: titleOf(identity), triage };
    });
  }

  /** Returns the ids of all stored records of a workload. */
  async recordIds(workload: string): Promise<string[]> {
    return ((await this.#records()).get(workload) ?? []).map((record) => record.workload);
  }

  #owners(): Owners {
    return this.#options.owners?.() ?? NO_OWNERS;
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
