/** What every container engine can be asked, whatever its protocol. */
import { maskPath } from '../../secrets/mask.ts';

/** What an engine calls a container. Nulls are what it does not say. */
export interface ContainerNames {
  id: string;
  name: string | null;
  image: string | null;
  /** `docker`, `podman`, `containerd`, `cri-o`, as the engine calls itself; null where it has not said. */
  runtime: string | null;
  pod: PodNames | null;
}

export interface PodNames {
  uid: string | null;
  name: string | null;
  namespace: string | null;
  /** The container's name within the pod. */
  container: string | null;
}

/** Where an engine tells what it knows without being asked. */
export interface EngineSink {
  known(names: ContainerNames): void;
  /** Everything that runs now was told, and what begins from here on will be. */
  live(): void;
}

/** One engine's protocol. Holds no state of its own about containers. */
export interface EngineClient {
  /**
   * Resolves null when the engine answered that it has no such container. Rejects when it gave no answer in time, or
   * one that cannot be read.
   *
   * @param podUid as its cgroup says: lets the pod be named where the container is unknown.
   */
  inspect(id: string, podUid: string | null, timeoutMs: number): Promise<ContainerNames | null>;
  /** Tells what runs and what begins, until the engine is lost: then, or when aborted, rejects. */
  follow?(sink: EngineSink, signal: AbortSignal): Promise<never>;
  close(): void;
}

/** No name of any engine is longer; a label may be. */
const MAX_NAME_CHARS = 512;

/** A name as it may go into a call: text without control characters and secrets, or null. */
export function nameOf(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  // Masked before it is cut: a part of a secret need not look like one.
  const name = maskPath(value.replace(/[\u0000-\u001f\u007f]/g, '')).slice(0, MAX_NAME_CHARS);
  return name === '' ? null : name;
}

/** The labels by which the kubelet tells its runtime what a container is for (pkg/kubelet/types/labels.go). */
export function podFromLabels(labels: Readonly<Record<string, unknown>>): PodNames | null {
  const pod = {
    uid: nameOf(labels['io.kubernetes.pod.uid']),
    name: nameOf(labels['io.kubernetes.pod.name']),
    namespace: nameOf(labels['io.kubernetes.pod.namespace']),
    container: nameOf(labels['io.kubernetes.container.name']),
  };
  return pod.uid === null && pod.name === null ? null : pod;
}
