/**
 * The workload that a caller belongs to: what stays the same when a process is started again, moved to
 * another host or updated. An offender is a workload that made IMDSv1 calls.
 *
 * The functions are pure. The store keys its rows by the identity, and the live feed links a call to its
 * offender by it.
 */
import { hash } from 'node:crypto';
import type { Call } from '../../protocol/call.ts';
import { HELPER_PROGRAMS, type StartedBy } from './helper_programs.ts';
import { starterOf } from './starter.ts';

/** The fields that describe a caller, which a call and a roll-up share. The host is not among them. */
export type CallerFacts = Pick<
  Call,
  'process' | 'container' | 'k8s' | 'systemd' | 'attribution.method' | 'attribution.confidence'
>;

export interface WorkloadIdentity {
  /** False where the process is not known. Then only `hostId` and `sourceAddress` tell workloads apart. */
  attributed: boolean;
  executable: string | null;
  /** The kernel's name of the process (comm). It is set only where the executable is not known. */
  name: string | null;
  script: string | null;
  user: string | null;
  uid: number | null;
  /** The repository of the container's image, without tag and digest. */
  image: string | null;
  /** The systemd unit of a process outside containers. Instances of a template share its name. */
  unit: string | null;
  k8sNamespace: string | null;
  k8sContainer: string | null;
  hostId: string | null;
  sourceAddress: string | null;
  /** The tag, else the digest, of the container's image. Absent in rows of earlier releases, as the next three. */
  imageTag?: string | null;
  /** The program that called for the workload, such as `/usr/bin/curl`; null where it called itself. */
  helper?: string | null;
  /** The kind of starter of a workload without a program of its own; see `starterOf`. */
  startedBy?: StartedBy | null;
  /** The command of a cron entry or of a supervisor's program. */
  entry?: string | null;
}

/** `sha256:` and twelve digits, as container engines print it. */
const DIGEST_CHARACTERS = 19;

const DEFAULT_HELPERS: ReadonlySet<string> = new Set(HELPER_PROGRAMS);

/**
 * Returns the identity of one release of a workload: `WorkloadRules.workloadOf` joins releases. `helpers`: names of
 * programs that are not the workload.
 */
export function workloadIdentity(
  { process, container, k8s, systemd }: CallerFacts,
  hostId: string,
  sourceAddress: string,
  helpers: ReadonlySet<string> = DEFAULT_HELPERS,
): WorkloadIdentity {
  const workload = {
    image: container === null ? null : repositoryOf(container['image.name']),
    unit: container === null ? stableUnit(systemd?.unit ?? null) : null,
    k8sNamespace: k8s?.['namespace.name'] ?? null,
    k8sContainer: k8s?.['container.name'] ?? null,
    imageTag: container === null ? null : tagOf(container['image.name']),
  };
  if (process === null) {
    const unknown = { executable: null, name: null, script: null, user: null, uid: null };
    return { attributed: false, ...unknown, ...workload, hostId, sourceAddress };
  }
  const named = {
    unit: workload.unit !== null,
    container: workload.image !== null || workload.k8sContainer !== null,
  };
  const starter = starterOf(process, named, helpers);
  return {
    attributed: true,
    executable: starter.executable,
    // Threads rename themselves: the name does not count where the executable is known.
    name: process['executable.path'] === null ? process.name : null,
    script: starter.script,
    user: process['owner.name'],
    // A user name means the same user on every host; a number need not.
    uid: process['owner.name'] === null ? process['owner.uid'] : null,
    ...workload,
    hostId: null,
    sourceAddress: null,
    helper: starter.helper,
    startedBy: starter.startedBy,
    entry: starter.entry,
  };
}

/**
 * Returns the id of an offender in the API, the page and alerts: 16 hex digits, equal for equal identities.
 */
export function identityId(identity: WorkloadIdentity): string {
  const { attributed, executable, name, script, user, uid, image, unit, k8sNamespace, k8sContainer } =
    identity;
  const key: unknown[] = [
    ...[attributed, executable, name, script, user, uid, image, unit, k8sNamespace, k8sContainer],
    ...[identity.hostId, identity.sourceAddress],
  ];
  // Facts that earlier releases did not have count only where they are known: all other identities keep their ids.
  const { imageTag = null, helper = null, entry = null } = identity;
  // A starter that is not known tells no workloads apart.
  const startedBy = identity.startedBy === 'unknown' ? null : (identity.startedBy ?? null);
  if (imageTag !== null || helper !== null || startedBy !== null || entry !== null) {
    key.push({ imageTag, helper, startedBy, entry });
  }
  return hash('sha256', JSON.stringify(key), 'hex').slice(0, 16);
}

/**
 * Returns `registry/team/app` for `registry/team/app:1.2@sha256:…`; null for an image that is known by its
 * digest alone.
 */
function repositoryOf(image: string | null): string | null {
  if (image === null) return null;
  const name = image.split('@', 1)[0]!;
  const slash = name.lastIndexOf('/');
  const colon = name.indexOf(':', slash + 1);
  const repository = colon === -1 ? name : name.slice(0, colon);
  return repository === '' || repository === 'sha256' || /^[0-9a-f]{12,64}$/.test(repository)
    ? null
    : repository;
}

/** Returns the tag of an image, else the first characters of its digest. */
function tagOf(image: string | null): string | null {
  if (image === null || repositoryOf(image) === null) return null;
  const [name = '', digest] = image.split('@', 2);
  const colon = name.indexOf(':', name.lastIndexOf('/') + 1);
  return colon === -1 ? (digest?.slice(0, DIGEST_CHARACTERS) ?? null) : name.slice(colon + 1);
}

/** Returns null for login sessions and transient units: their names are new each time. */
function stableUnit(unit: string | null): string | null {
  if (unit === null || /^(session-.*|init|run-.*)\.(scope|service)$/.test(unit)) return null;
  return unit.replace(/@[^@]*(\.[a-z]+)$/, '@$1');
}
