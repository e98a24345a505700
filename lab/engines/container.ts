/** Defines what every container engine of the lab can do. */

export interface ContainerSpec {
  /** Name of the container. By default the lab chooses one. */
  name?: string;
  /** Path in the image, or on this machine with `machinePrograms`. */
  argv: readonly string[];
  /**
   * `bridge`: behind the host, which translates its address (the default). `container:ID`: another's
   * namespace.
   */
  network?: 'bridge' | 'host' | `container:${string}`;
  /** A cgroup namespace of its own hides the container's path from itself, not from the host. */
  cgroupns?: 'host' | 'private';
  labels?: Record<string, string>;
  env?: Record<string, string>;
  /** Mounts this machine's programs and libraries and this checkout too, read-only at their own paths. */
  machinePrograms?: boolean;
}

export interface LabContainer {
  /** 64 hexadecimal digits. */
  readonly id: string;
  readonly name: string;
  readonly image: string;
  /** Value of the contract's `container.runtime`. */
  readonly runtime: string;
  /** Pid of its first process on the host; null if it ended before the engine could report it. */
  readonly pid: number | null;
  /** The address of its own sockets; null in a shared network namespace. */
  readonly address: string | null;
  /** Resolves when it has ended. */
  wait(): Promise<{ status: number; output: string }>;
  /** Ends it if it runs. */
  remove(): Promise<void>;
}

export interface Engine {
  readonly runtime: string;
  /** Socket of its API, for an agent that asks for names. */
  readonly socket: string;
  run(spec: ContainerSpec): Promise<LabContainer>;
  close(): Promise<void>;
}

/**
 * Returns the reason if an engine could not start, instead of throwing it. A test skips, and the demo goes on
 * without.
 */
export type Started<T> = { engine: T; notAvailable: null } | { engine: null; notAvailable: string };
