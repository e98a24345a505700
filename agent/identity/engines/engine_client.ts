/** The interface of a container engine's protocol. */
import { maskPath } from '../../secrets/mask.ts';

/** An engine's names of a container. Null for what it does not report. */
export interface ContainerNames {
  id: string;
  name: string | null;
  image: string | null;
  /** `docker`, `podman`, `containerd`, `cri-o`, as the engine calls itself; null if it does not report it. */
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

/** Receives the containers that an engine reports by events. */
export interface EngineSink {
  known(names: ContainerNames): void;
  /** Called when all running containers were reported; every container that starts later will be. */
  live(): void;
}

/** One engine's protocol. Holds no state of its own about containers. */
export interface EngineClient {
  /**
   * Resolves null when the engine answered that it has no such container. Rejects when it gave no answer in
   * time, or one that cannot be read.
   *
   * @param podUid from its cgroup: allows the pod to be named where the container is unknown.
   */
  inspect(id: string, podUid: string | null, timeoutMs: number): Promise<ContainerNames | null>;
  /**
   * Reports the running containers and those that start, until the engine is lost or `signal` aborts: then
   * rejects.
   */
  follow?(sink: EngineSink, signal: AbortSignal): Promise<never>;
  close(): void;
}

/** No name of any engine is longer; a label may be. */
const MAX_NAME_CHARS = 512;

/** Returns a name for a call, without control characters and secrets; null if nothing is left. */
export function nameOf(value: unknown): string | null {
  if (typeof value !== 'string') return null;
  // Masked before it is cut: a part of a secret need not look like one.
  const name = maskPath(value.replace(/[\u0000-\u001f\u007f]/g, '')).slice(0, MAX_NAME_CHARS);
  return name === '' ? null : name;
}

/** Reads the labels that the kubelet gives to containers of a pod (pkg/kubelet/types/labels.go). */
export function podFromLabels(labels: Readonly<Record<string, unknown>>): PodNames | null {
  const pod = {
    uid: nameOf(labels['io.kubernetes.pod.uid']),
    name: nameOf(labels['io.kubernetes.pod.name']),
    namespace: nameOf(labels['io.kubernetes.pod.namespace']),
    container: nameOf(labels['io.kubernetes.container.name']),
  };
  return pod.uid === null && pod.name === null ? null : pod;
}
