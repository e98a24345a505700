/**
 * Finds container, pod and unit in cgroup paths of every layout: cgroup v1, v2 or both, docker and kubelet
 * with the cgroupfs or the systemd driver. It takes text, returns values and never throws.
 */
import type { SystemdFacts } from '../../protocol/call.ts';
import { unitOf } from './systemd_unit.ts';

/** The runtime of a container, as far as its cgroup's name shows it. `ecs`: Docker under the ECS agent. */
export type RuntimeHint = 'docker' | 'containerd' | 'cri-o' | 'podman' | 'ecs';

export interface CgroupFacts {
  /** 64 hex digits. It names the innermost container where one runs inside another. */
  containerId: string | null;
  /** Null where the path does not show it, as with the kubelet's cgroupfs driver. */
  runtime: RuntimeHint | null;
  /** In the form of Kubernetes, with `-`; a static pod's is 32 hex digits. */
  podUid: string | null;
  /**
   * The unit of a process outside of containers; in a container, the unit of a systemd that runs inside of
   * it. The container's own scope is left out: it adds nothing to the id.
   */
  systemd: SystemdFacts | null;
}

const NOTHING: CgroupFacts = { containerId: null, runtime: null, podUid: null, systemd: null };

/**
 * `docker-<id>.scope`, `crio-<id>`, `libpod-payload-<id>`, `<id>`. Not `<id>.service`: that is podman's
 * health check.
 */
const NAMED = /^(?:([a-z][a-z0-9_.-]*)-)?([0-9a-f]{64})(?:\.scope)?$/;
/**
 * `kubepods-burstable-pod<uid>.slice:cri-containerd:<id>`: a systemd path given to a runtime with the
 * cgroupfs driver.
 */
const COLONS = /^(.*):([a-z][a-z0-9_.-]*):([0-9a-f]{64})$/;
/** `pod<uid>`, `kubepods-pod<uid>.slice`; the systemd driver writes `_` for `-`. */
const POD =
  /(?:^|-)pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?$/;
/** The monitor of a container, which is a process of the host. */
const MONITOR = /(?:^|-)conmon$/;
/** podman with split cgroups (Quadlet): the container is the unit's main cgroup, so the unit names it too. */
const SPLIT_PREFIX = 'libpod-payload';

const RUNTIME_OF_PREFIX = new Map<string, RuntimeHint>([
  ['docker', 'docker'],
  ['cri-containerd', 'containerd'],
  ['containerd', 'containerd'],
  ['nerdctl', 'containerd'],
  ['crio', 'cri-o'],
  ['cri-o', 'cri-o'],
  ['libpod', 'podman'],
  [SPLIT_PREFIX, 'podman'],
]);
const RUNTIME_OF_PARENT = new Map<string, RuntimeHint>([
  ['docker', 'docker'],
  ['libpod_parent', 'podman'],
  ['k8s.io', 'containerd'],
  ['ecs', 'ecs'],
]);

/**
 * Returns the paths of a /proc/PID/cgroup (cgroups(7): `id:controllers:path`). Paths of systemd and of the
 * unified hierarchy come first, because the program that moved the process may have left out other
 * controllers. Other lines are skipped.
 */
export function cgroupPaths(text: string): string[] {
  const systemds: string[] = [];
  const unified: string[] = [];
  const others: string[] = [];
  for (const line of text.split('\n')) {
    // A path may hold colons itself.
    const match = /^(\d+):([^:]*):(\/.*)$/.exec(line);
    if (!match) continue;
    const [, id, controllers, path] = match as unknown as [string, string, string, string];
    if (controllers === 'name=systemd') systemds.push(path);
    else if (id === '0' && controllers === '') unified.push(path);
    else others.push(path);
  }
  return [...new Set([...systemds, ...unified, ...others])];
}

/**
 * Returns the facts in a process's cgroup paths, one path or one for each hierarchy. Where they disagree, the
 * path that is inside of most containers counts: an inner engine may not manage every hierarchy.
 */
export function cgroupFacts(paths: readonly string[]): CgroupFacts {
  let best: PathFacts | null = null;
  for (const path of paths) {
    const facts = pathFacts(path);
    if (best === null || facts.depth > best.depth || (facts.depth === best.depth && tellsMore(facts, best))) {
      best = facts;
    }
  }
  if (best === null) return NOTHING;
  const { containerId, runtime, podUid, systemd } = best;
  return { containerId, runtime, podUid, systemd };
}

interface PathFacts extends CgroupFacts {
  /** Number of nested containers in the path. */
  depth: number;
}

function tellsMore(facts: PathFacts, than: PathFacts): boolean {
  if (facts.podUid !== null && than.podUid === null) return true;
  return than.podUid === null && than.depth === 0 && than.systemd === null && facts.systemd !== null;
}

function pathFacts(path: string): PathFacts {
  const elements = elementsOf(path);
  const facts: PathFacts = { ...NOTHING, depth: 0 };
  let lastContainer = -1;
  let isSplit = false;
  for (const [at, element] of elements.entries()) {
    const colons = COLONS.exec(element);
    facts.podUid = podUidOf(colons?.[1] ?? element) ?? facts.podUid;
    const prefix = colons ? colons[2] : NAMED.exec(element)?.[1];
    const id = colons ? colons[3] : NAMED.exec(element)?.[2];
    if (id === undefined || (prefix !== undefined && MONITOR.test(prefix))) continue;
    facts.containerId = id;
    facts.runtime =
      prefix === undefined ? runtimeOfParents(elements, at) : (RUNTIME_OF_PREFIX.get(prefix) ?? null);
    facts.depth++;
    lastContainer = at;
    isSplit = prefix === SPLIT_PREFIX;
  }
  facts.systemd = unitOf(elements.slice(lastContainer + 1));
  if (facts.systemd === null && isSplit) facts.systemd = unitOf(elements.slice(0, lastContainer));
  return facts;
}

/**
 * `..`: a path outside of the reader's own cgroup namespace is shown relative to it (cgroup_namespaces(7)).
 * ` (deleted)`: the kernel's mark of a cgroup that was removed while the process was ending.
 */
function elementsOf(path: string): string[] {
  const kept = path.endsWith(' (deleted)') ? path.slice(0, -' (deleted)'.length) : path;
  return kept.split('/').filter((element) => element !== '' && element !== '..' && element !== '.');
}

function podUidOf(element: string): string | null {
  return POD.exec(element)?.[1]?.replaceAll('_', '-') ?? null;
}

/** `/docker/<id>`, `/ecs/<id>`, `/ecs/<task>/<id>`. */
function runtimeOfParents(elements: readonly string[], at: number): RuntimeHint | null {
  const parent = elements[at - 1];
  if (parent === undefined) return null;
  return RUNTIME_OF_PARENT.get(parent) ?? (elements[at - 2] === 'ecs' ? 'ecs' : null);
}
