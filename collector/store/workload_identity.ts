/**
 * Which workload a caller belongs to: what stays the same when a process is started again, moved to another host or given a
 * new release. Calls are added up by it, and it is what an offender is.
 *
 * Pure: the store keys its rows by it, and the live feed links a call to its offender by it.
 */
import { hash } from 'node:crypto';
import type { Call } from '../../protocol/call.ts';

/** Who called, without the host: the fields that a call and a roll-up of calls share. */
export type CallerFacts = Pick<
  Call,
  'process' | 'container' | 'k8s' | 'systemd' | 'attribution.method' | 'attribution.confidence'
>;

export interface WorkloadIdentity {
  /** False: nobody knows which process it was; then only `hostId` and `sourceAddress` tell them apart. */
  attributed: boolean;
  executable: string | null;
  /** The kernel's comm; the only name where the executable was gone before it could be read. */
  name: string | null;
  script: string | null;
  user: string | null;
  uid: number | null;
  /** Repository of the container's image, without tag and digest. */
  image: string | null;
  /** Of a process outside containers; instances of a template share its name. */
  unit: string | null;
  k8sNamespace: string | null;
  k8sContainer: string | null;
  hostId: string | null;
  sourceAddress: string | null;
}

export function workloadIdentity(
  { process, container, k8s, systemd }: CallerFacts,
  hostId: string,
  sourceAddress: string,
): WorkloadIdentity {
  const workload = {
    image: container === null ? null : repositoryOf(container['image.name']),
    unit: container === null ? stableUnit(systemd?.unit ?? null) : null,
    k8sNamespace: k8s?.['namespace.name'] ?? null,
    k8sContainer: k8s?.['container.name'] ?? null,
  };
  if (process === null) {
    const nobody = { executable: null, name: null, script: null, user: null, uid: null };
    return { attributed: false, ...nobody, ...workload, hostId, sourceAddress };
  }
  return {
    attributed: true,
    executable: process['executable.path'],
    // Threads rename themselves: where the executable says who it is, the name does not count.
    name: process['executable.path'] === null ? process.name : null,
    script: process.script,
    user: process['owner.name'],
    // A name is the same user on every host, its number need not be.
    uid: process['owner.name'] === null ? process['owner.uid'] : null,
    ...workload,
    hostId: null,
    sourceAddress: null,
  };
}

/** Equal for equal identities; the id of an offender everywhere (API, page, alerts). 16 hex digits. */
export function identityId(identity: WorkloadIdentity): string {
  const { attributed, executable, name, script, user, uid, image, unit, k8sNamespace, k8sContainer } =
    identity;
  const key = [attributed, executable, name, script, user, uid, image, unit, k8sNamespace, k8sContainer];
  return hash('sha256', JSON.stringify([...key, identity.hostId, identity.sourceAddress]), 'hex').slice(
    0,
    16,
  );
}

/** `registry/team/app:1.2@sha256:…` → `registry/team/app`. An image that is known by its digest alone has no repository. */
function repositoryOf(image: string | null): string | null {
  if (image === null) return null;
  const named = image.split('@', 1)[0]!;
  const slash = named.lastIndexOf('/');
  const colon = named.indexOf(':', slash + 1);
  const repository = colon === -1 ? named : named.slice(0, colon);
  return repository === '' || repository === 'sha256' || /^[0-9a-f]{12,64}$/.test(repository)
    ? null
    : repository;
}

/** Login sessions and transient units have a new name each time: they say nothing of the workload. */
function stableUnit(unit: string | null): string | null {
  if (unit === null || /^(session-.*|init|run-.*)\.(scope|service)$/.test(unit)) return null;
  return unit.replace(/@[^@]*(\.[a-z]+)$/, '@$1');
}
