/** Finds the workload of a socket's owner: its container, pod and systemd unit. */

import { Recent } from '../../common/bounded_map.ts';
import type { ContainerFacts, K8sFacts, SystemdFacts } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';
import type { SocketOwner } from '../attribution/owner.ts';
import { type CgroupFacts, cgroupFacts, cgroupPaths } from '../linux/cgroup.ts';
import { closeDescriptor, openAsBase, readFileAt } from '../linux/proc_libc.ts';
import { parseStat } from '../linux/proc_stat.ts';
import { ContainerNamesBook, type TrackedContainer } from './container_names.ts';
import type { Engine } from './engines/engine.ts';

const KEPT_PROCESSES = 1_024;
const KEPT_CGROUPS = 1_024;
/**
 * A process may be moved to another cgroup; session managers and job schedulers do so soon after its start.
 */
const CGROUP_TTL_MS = 1_000;

export interface WorkloadIdentityOptions {
  procRoot?: string;
  /** Started here, closed by `close`. */
  engines: readonly Engine[];
  /** Milliseconds of a clock that only goes forward. */
  now?: () => number;
}

/** The workload of a socket's owner, whose names may still be looked up. */
export interface WorkloadRef {
  readonly cgroup: CgroupFacts;
  readonly container: TrackedContainer | null;
}

/** Facts in the form of a call. Null for what is not known, or not yet. */
export interface WorkloadFacts {
  container: ContainerFacts | null;
  k8s: K8sFacts | null;
  systemd: SystemdFacts | null;
}

interface ReadCgroup {
  facts: CgroupFacts;
  readAtMs: number;
}

export class WorkloadIdentity {
  readonly #procRoot: string;
  readonly #now: () => number;
  readonly #names: ContainerNamesBook;
  /** Cgroups that were read, by pid and start time of the process. */
  readonly #processes = new Recent<ReadCgroup>(KEPT_PROCESSES);
  /** Parsed cgroup paths, by their text. */
  readonly #cgroups = new Recent<CgroupFacts>(KEPT_CGROUPS);
  readonly #counts = { given: 0, read: 0, remembered: 0, gone: 0, waited: 0, waited_in_vain: 0 };

  constructor(options: WorkloadIdentityOptions) {
    this.#procRoot = options.procRoot ?? '/proc';
    this.#now = options.now ?? (() => performance.now());
    this.#names = new ContainerNamesBook(options.engines, this.#now);
  }

  /**
   * Finds the owner's cgroup and begins to look up its container's names. Must be called while the owner
   * lives, as early as possible. Costs one read of /proc where the kernel did not record the paths. Never
   * waits.
   *
   * @returns null when the owner's cgroup is unknown, because the owner has ended.
   */
  begin(owner: SocketOwner & { cgroupPaths?: readonly string[] | null }): WorkloadRef | null {
    const cgroup = owner.cgroupPaths?.length ? this.#given(owner.cgroupPaths) : this.#read(owner);
    if (cgroup === null) return null;
    const { containerId } = cgroup;
    return { cgroup, container: containerId === null ? null : this.#names.track(containerId, cgroup) };
  }

  /** Returns the facts that are known now. */
  facts(ref: WorkloadRef | null): WorkloadFacts {
    if (ref === null) return { container: null, k8s: null, systemd: null };
    const { cgroup, container } = ref;
    const names = container?.names ?? null;
    return {
      container: container && {
        id: container.id,
        name: names?.name ?? null,
        'image.name': names?.image ?? null,
        // ECS on an EC2 host runs Docker.
        runtime: names?.runtime ?? (cgroup.runtime === 'ecs' ? 'docker' : cgroup.runtime),
      },
      k8s:
        cgroup.podUid === null && !names?.pod
          ? null
          : {
              'pod.uid': cgroup.podUid ?? names?.pod?.uid ?? null,
              'pod.name': names?.pod?.name ?? null,
              'namespace.name': names?.pod?.namespace ?? null,
              'container.name': names?.pod?.container ?? null,
            },
      systemd: cgroup.systemd,
    };
  }

  /** Returns true when `facts` will not change soon. */
  isSettled(ref: WorkloadRef | null): boolean {
    return !ref?.container?.isAsking || ref.container.names !== null;
  }

  /**
   * Calls back once: when the engines have answered or failed, or the time is up. Calls back before it
   * returns when there is nothing to wait for.
   */
  whenSettled(ref: WorkloadRef | null, timeoutMs: number, callback: () => void): void {
    const container = ref?.container;
    if (!container || this.isSettled(ref)) {
      callback();
      return;
    }
    this.#counts.waited++;
    const settled = () => {
      clearTimeout(timer);
      container.waiters.delete(settled);
      callback();
    };
    const timer = setTimeout(() => {
      this.#counts.waited_in_vain++;
      settled();
    }, timeoutMs);
    container.waiters.add(settled);
  }

  /** Disconnects from the engines. Every waiting callback is called. */
  close(): void {
    this.#names.close();
  }

  /**
   * `given`, `read`, `remembered`, `gone`: sources of cgroups. `waited_in_vain`: the time was up before an
   * answer.
   */
  counters(): Counters {
    return { ...this.#counts, ...this.#names.counters() };
  }

  #given(paths: readonly string[]): CgroupFacts {
    this.#counts.given++;
    return this.#factsOf(paths.join('\n'), () => paths);
  }

  #read(owner: SocketOwner): CgroupFacts | null {
    const key = `${owner.pid} ${owner.startTicks}`;
    const known = this.#processes.get(key);
    if (known && this.#now() - known.readAtMs < CGROUP_TTL_MS) {
      this.#counts.remembered++;
      return known.facts;
    }
    const text = this.#textOf(owner.pid, owner.startTicks);
    if (text === null) {
      this.#counts.gone++;
      // The process has ended in the cgroup where it was last.
      return known?.facts ?? null;
    }
    this.#counts.read++;
    const facts = this.#factsOf(text, () => cgroupPaths(text));
    this.#processes.set(key, { facts, readAtMs: this.#now() });
    return facts;
  }

  /**
   * Reads /proc/PID/cgroup of exactly this process: its open directory names no later process of the same
   * pid.
   */
  #textOf(pid: number, startTicks: number): string | null {
    const directory = openAsBase(`${this.#procRoot}/${pid}`);
    if (directory < 0) return null;
    const stat = readFileAt(directory, 'stat');
    const isSame = stat !== null && parseStat(stat)?.startTicks === startTicks;
    const text = isSame ? (readFileAt(directory, 'cgroup')?.toString('utf8') ?? null) : null;
    closeDescriptor(directory);
    // The kernel shows an empty file when the process has been reaped meanwhile.
    return text === '' ? null : text;
  }

  #factsOf(text: string, paths: () => readonly string[]): CgroupFacts {
    const known = this.#cgroups.get(text);
    if (known !== undefined) return known;
    const facts = cgroupFacts(paths());
    this.#cgroups.set(text, facts);
    return facts;
  }
}
