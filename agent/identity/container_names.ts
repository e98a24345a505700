/**
 * Names of containers, from answers and events of their engines. They are kept after the containers have
 * ended.
 */

import { Recent } from '../../common/bounded_map.ts';
import type { Counters } from '../../protocol/records.ts';
import type { CgroupFacts, RuntimeHint } from '../linux/cgroup.ts';
import type { Engine } from './engines/engine.ts';
import type { ContainerNames, EngineSink } from './engines/engine_client.ts';

/**
 * Number of containers that are remembered at least, some 600 bytes each. Ended containers are kept too: a
 * call may be reported long after its container. At ten new containers a second this is a quarter of an hour.
 */
const KEPT_CONTAINERS = 8_192;
/**
 * Delays before a container without names is looked up again. They double, and are shorter where the engine
 * failed.
 */
const FIRST_RETRY_MS = 1_000;
const MAX_UNKNOWN_RETRY_MS = 300_000;
const MAX_FAILED_RETRY_MS = 30_000;

/** One container, with the names that are known by now. */
export interface TrackedContainer {
  readonly id: string;
  names: ContainerNames | null;
  /** True while an answer is awaited. */
  isAsking: boolean;
  attempts: number;
  retryAtMs: number;
  /** Called once, when names are known or no engine is left to wait for. */
  readonly waiters: Set<() => void>;
}

export class ContainerNamesBook implements EngineSink {
  readonly #engines: readonly Engine[];
  readonly #now: () => number;
  readonly #containers = new Recent<TrackedContainer>(KEPT_CONTAINERS);
  readonly #counts = { looked_up: 0, named: 0, unnamed: 0, no_engine: 0 };

  constructor(engines: readonly Engine[], now: () => number) {
    this.#engines = engines;
    this.#now = now;
    for (const engine of engines) engine.start(this);
  }

  /**
   * Returns the container with this id, and begins to look up its names where they are not known. Does not
   * wait.
   */
  track(id: string, cgroup: CgroupFacts): TrackedContainer {
    const container = this.#touch(id);
    if (container.names === null && !container.isAsking && this.#now() >= container.retryAtMs) {
      this.#ask(container, cgroup.runtime, cgroup.podUid);
    }
    return container;
  }

  /** Takes the names of a container from an engine's event. */
  known(names: ContainerNames): void {
    this.#name(this.#touch(names.id), names);
  }

  /** Allows new look-ups of unnamed containers, after an engine has come back. */
  live(): void {
    for (const container of this.#containers.values()) {
      if (container.names === null) container.retryAtMs = 0;
    }
  }

  close(): void {
    for (const engine of this.#engines) engine.close();
    for (const container of this.#containers.values()) settle(container);
  }

  /** Returns the counters; `containers` is the number of those that are remembered now. */
  counters(): Counters {
    const counters: Counters = {
      ...this.#counts,
      containers: this.#containers.size,
      evicted: this.#containers.evicted,
    };
    for (const engine of this.#engines) {
      for (const [name, count] of Object.entries(engine.counters()))
        counters[name] = (counters[name] ?? 0) + count;
    }
    return counters;
  }

  #touch(id: string): TrackedContainer {
    const known = this.#containers.get(id);
    if (known !== undefined) return known;
    const container: TrackedContainer = {
      id,
      names: null,
      isAsking: false,
      attempts: 0,
      retryAtMs: 0,
      waiters: new Set(),
    };
    this.#containers.set(id, container);
    return container;
  }

  #ask(container: TrackedContainer, runtime: RuntimeHint | null, podUid: string | null): void {
    const engines = this.#engines.filter((engine) => engine.serves(runtime) && engine.isReady());
    if (engines.length === 0) {
      this.#counts.no_engine++;
      this.#retryLater(container, MAX_FAILED_RETRY_MS);
      return;
    }
    this.#counts.looked_up++;
    container.isAsking = true;
    const answers = engines.map(async (engine) => {
      const names = await engine.inspect(container.id, podUid);
      if (names !== null) this.#name(container, names);
    });
    // The engine has counted its failure. Here it is one more engine that does not know the container.
    void Promise.allSettled(answers).then((outcomes) => {
      container.isAsking = false;
      if (container.names === null) {
        this.#counts.unnamed++;
        const failed = outcomes.some((outcome) => outcome.status === 'rejected');
        this.#retryLater(container, failed ? MAX_FAILED_RETRY_MS : MAX_UNKNOWN_RETRY_MS);
      }
      settle(container);
    });
  }

  #name(container: TrackedContainer, names: ContainerNames): void {
    const before = container.names;
    if (before === null) this.#counts.named++;
    // An event may have less than the answer to a look-up.
    container.names = {
      id: container.id,
      name: names.name ?? before?.name ?? null,
      image: names.image ?? before?.image ?? null,
      runtime: names.runtime ?? before?.runtime ?? null,
      pod: names.pod ?? before?.pod ?? null,
    };
    settle(container);
  }

  #retryLater(container: TrackedContainer, maxMs: number): void {
    const delayMs = Math.min(maxMs, FIRST_RETRY_MS * 2 ** Math.min(container.attempts, 20));
    container.attempts++;
    container.retryAtMs = this.#now() + delayMs;
  }
}

function settle(container: TrackedContainer): void {
  const waiters = [...container.waiters];
  container.waiters.clear();
  for (const waiter of waiters) waiter();
}
