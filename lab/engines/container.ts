/** Describes what the lab's tests ask of a container engine, whichever it is. */

export interface ContainerSpec {
  /** The container's name; one of the lab's own unless given. */
  name?: string;
  /** Path in the image, or on this machine with `machinePrograms`. */
  argv: readonly string[];
  /** `bridge`: behind the host, which translates its address (the default). `container:ID`: another's namespace. */
  network?: 'bridge' | 'host' | `container:${string}`;
  /** A cgroup namespace of its own hides the container's path from itself, not from the host. */
  cgroupns?: 'host' | 'private';
  labels?: Record<string, string>;
  env?: Record<string, string>;
  /** Also this machine's own programs, libraries and this checkout, read-only at their own paths. */
  machinePrograms?: boolean;
}

export interface LabContainer {
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** Value of the contract's `container.runtime`. */
  readonly runtime: string;
  /** Pid of its first process, as the host sees it. Null when it had ended before the engine could be asked. */
  readonly pid: number | null;
  /** The address that its own sockets have; null in a network namespace that it shares. */
  readonly address: string | null;
  /** Resolves when it has ended. */
  wait(): Promise<{ status: number; output: string }>;
  /** Ends it where it runs. */
  remove(): Promise<void>;
}

export interface Engine {
  readonly runtime: string;
  /** States where its API is, for an agent that asks for names. */
  readonly socket: string;
  run(spec: ContainerSpec): Promise<LabContainer>;
  close(): Promise<void>;
}

/** Returns the reason why an engine could not start instead of throwing it: a test skips with it, the demo goes on without. */
export type Started<T> = { engine: T; notAvailable: null } | { engine: null; notAvailable: string };
