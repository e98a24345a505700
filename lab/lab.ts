/**
 * Builds a lab: a host, a metadata service at the real addresses, and programs that call it, all in network
 * namespaces of their own. Nothing is changed in the machine's own namespace, where those addresses may be
 * real.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperatorError } from '../common/operator_error.ts';
import { IMDS_IPV4, IMDS_IPV6 } from '../protocol/endpoints.ts';
import {
  followProgram,
  type LabProcess,
  labEnvironment,
  type RunOptions,
  type RunResult,
  runToEnd,
  type SpawnOptions,
} from './lab_program.ts';
import { closeAtExit, forgetLab } from './live_labs.ts';
import { MetadataHandle } from './metadata_handle.ts';
import {
  addAddress,
  addLink,
  deleteNamespace,
  endNow,
  ip,
  labTag,
  namespacePath,
  pidsWithTag,
  type Role,
  setSysctl,
  sweepLeftovers,
} from './namespaces.ts';

const METADATA_SERVICE = join(import.meta.dirname, 'metadata_service.ts');

export type { LabProcess, RunOptions, RunResult, SpawnOptions } from './lab_program.ts';

export interface LabOptions {
  /** Part of the names of the namespaces: 1 to 20 characters of a-z and 0-9. */
  name?: string;
  /** False for a lab without `fd00:ec2::254`. */
  ipv6?: boolean;
  /** Environment variables of the metadata service, for example for a clock of its own. */
  metadataEnv?: Record<string, string>;
  /**
   * The program that plays the metadata service, with the messages of `ground_truth.ts`. Default: the lab's
   * own.
   */
  serviceProgram?: string;
}

/** Something larger than a program that must end with the lab: a container engine, a machine. */
export interface LabPart {
  /** Ends it in order. Called before the lab's programs are ended, the last added first. */
  close(): Promise<void>;
  /** Removes what is left after all processes were killed. Synchronous. */
  closeNow(): void;
}

/** Tells whether this kernel has IPv6. Without it a lab must be created with `ipv6: false`. */
export function kernelHasIpv6(): boolean {
  return existsSync('/proc/sys/net/ipv6');
}

export class Lab {
  readonly tag: string;
  readonly hostNamespace: string;
  readonly metadataNamespace: string;
  /** One hop behind the host; made by `addPod`. */
  readonly podNamespace: string;
  /** The host's own addresses on its way to the metadata service. */
  readonly hostAddresses: { ipv4: string; ipv6: string | null };
  /** A directory of this lab, and HOME of all its programs. Removed with the lab. */
  readonly home: string;
  readonly #children = new Map<number, LabProcess>();
  readonly #parts: LabPart[] = [];
  readonly #added: string[] = [];
  readonly #subnet: number;
  readonly #metadataEnv: Record<string, string>;
  readonly #serviceProgram: string;
  #metadata: MetadataHandle | null = null;
  #metadataProcess: LabProcess | null = null;
  #podReady = false;
  #closed = false;

  private constructor(options: LabOptions) {
    this.tag = labTag(options.name);
    this.hostNamespace = `${this.tag}-host`;
    this.metadataNamespace = `${this.tag}-imds`;
    this.podNamespace = `${this.tag}-pod`;
    this.home = join(tmpdir(), this.tag);
    this.#metadataEnv = options.metadataEnv ?? {};
    this.#serviceProgram = options.serviceProgram ?? METADATA_SERVICE;
    // The network is 10.x.y.0/24 outside 10.0.0.0/16, which many images use. The pod gets the next one.
    this.#subnet = (1 + Math.floor(Math.random() * 254)) * 256 + 2 * Math.floor(Math.random() * 127);
    this.hostAddresses = {
      ipv4: this.#ipv4(0, 1),
      ipv6: options.ipv6 === false ? null : this.#ipv6(0, 1),
    };
  }

  /**
   * Builds a lab with its metadata service. On any failure everything that was made is removed again.
   * @throws OperatorError (3) without root, or if a program is missing.
   */
  static async create(options: LabOptions = {}): Promise<Lab> {
    if (process.getuid?.() !== 0) {
      throw new OperatorError(
        3,
        'The lab builds network namespaces, which needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN): run it with sudo.',
      );
    }
    if (options.ipv6 !== false && !kernelHasIpv6()) {
      throw new OperatorError(
        3,
        'This kernel runs without IPv6 (ipv6.disable=1): the lab cannot have its IPv6 endpoint.',
      );
    }
    sweepLeftovers();
    const lab = new Lab(options);
    closeAtExit(lab);
    try {
      await lab.#build();
    } catch (error) {
      await lab.close();
      throw error;
    }
    return lab;
  }

  get metadata(): MetadataHandle {
    if (this.#metadata === null) throw new Error('the lab is not built');
    return this.#metadata;
  }

  #ipv4(net: 0 | 1, host: number): string {
    const subnet = this.#subnet + net;
    return `10.${subnet >> 8}.${subnet & 255}.${host}`;
  }

  #ipv6(net: 0 | 1, host: number): string {
    const hex = (this.#subnet + net).toString(16);
    return `fd1a:b000:${hex}::${host}`;
  }

  async #build(): Promise<void> {
    mkdirSync(this.home, { mode: 0o755 });
    const { hostNamespace: host, metadataNamespace: imds } = this;
    const v6 = this.hostAddresses.ipv6 !== null;
    await Promise.all([ip('netns', 'add', host), ip('netns', 'add', imds)]);
    await addLink(host, 'eth0', imds, 'eth0');
    await Promise.all([
      addAddress(host, 'eth0', `${this.#ipv4(0, 1)}/24`),
      addAddress(imds, 'eth0', `${this.#ipv4(0, 2)}/24`, `${IMDS_IPV4}/32`),
      ...(v6
        ? [
            addAddress(host, 'eth0', `${this.#ipv6(0, 1)}/64`),
            addAddress(imds, 'eth0', `${this.#ipv6(0, 2)}/64`, `${IMDS_IPV6}/128`),
          ]
        : []),
    ]);
    await ip('-n', host, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'eth0', 'src', this.#ipv4(0, 1));
    if (v6)
      await ip('-n', host, '-6', 'route', 'add', `${IMDS_IPV6}/128`, 'dev', 'eth0', 'src', this.#ipv6(0, 1));

    await this.#startMetadata();
  }

  async #startMetadata(): Promise<void> {
    const argv = [
      process.execPath,
      this.#serviceProgram,
      ...(this.hostAddresses.ipv6 === null ? [] : ['--ipv6']),
    ];
    const service = spawn('nsenter', [`--net=${namespacePath(this.metadataNamespace)}`, ...argv], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      env: labEnvironment(this.home, this.#metadataEnv),
      cwd: this.home,
      detached: true,
    });
    this.#metadataProcess = this.#adopt(service);
    this.#metadata = await MetadataHandle.attach(service);
  }

  /**
   * Ends the metadata service with `signal` and starts another one, which does not know the former tokens and
   * has an empty log. Returns the handle of the former one, whose `seen` is complete.
   */
  async restartMetadata(signal: NodeJS.Signals = 'SIGKILL'): Promise<MetadataHandle> {
    const former = this.metadata;
    await this.#metadataProcess?.stop(signal);
    await former.ended;
    await this.#startMetadata();
    return former;
  }

  /**
   * Adds a third namespace behind the host, which forwards for it, like a container on a bridge network.
   * Answers whose hop limit is 1 end at the host.
   */
  async addPod(): Promise<void> {
    if (this.#podReady) return;
    const { hostNamespace: host, metadataNamespace: imds, podNamespace: pod } = this;
    await ip('netns', 'add', pod);
    await addLink(host, 'pod0', pod, 'eth0');
    await addAddress(host, 'pod0', `${this.#ipv4(1, 1)}/24`);
    await addAddress(pod, 'eth0', `${this.#ipv4(1, 2)}/24`);
    await ip('-n', pod, 'route', 'add', 'default', 'via', this.#ipv4(1, 1));
    await ip('-n', imds, 'route', 'add', `${this.#ipv4(1, 0)}/24`, 'via', this.#ipv4(0, 1));
    setSysctl(host, 'net/ipv4/ip_forward', '1');
    if (this.hostAddresses.ipv6 !== null) {
      await addAddress(host, 'pod0', `${this.#ipv6(1, 1)}/64`);
      await addAddress(pod, 'eth0', `${this.#ipv6(1, 2)}/64`);
      await ip('-n', pod, '-6', 'route', 'add', 'default', 'via', this.#ipv6(1, 1));
      await ip('-n', imds, '-6', 'route', 'add', `${this.#ipv6(1, 0)}/64`, 'via', this.#ipv6(0, 1));
      setSysctl(host, 'net/ipv6/conf/all/forwarding', '1');
    }
    this.#podReady = true;
  }

  /** Adds an empty namespace that ends with the lab. Returns its name. */
  async addNamespace(role: Role): Promise<string> {
    const name = `${this.tag}-${role}`;
    await ip('netns', 'add', name);
    this.#added.push(name);
    return name;
  }

  #adopt(child: ChildProcess): LabProcess {
    const program = followProgram(child, () => this.#children.delete(program.pid));
    this.#children.set(program.pid, program);
    return program;
  }

  /**
   * Starts a program in the host's namespace, in a session of its own. Output is in `child.stdout`,
   * `child.stderr`. `nsenter` becomes the program by exec, so that the pid is the program's own; `ip netns
   * exec` would also mount another /sys and hide the cgroups from an agent.
   */
  spawn(argv: readonly string[], options: SpawnOptions = {}): LabProcess {
    if (this.#closed) throw new Error('the lab is closed');
    const from = options.from ?? 'host';
    const named = { host: this.hostNamespace, pod: this.podNamespace };
    const namespace = typeof from === 'string' ? named[from] : from.namespace;
    const child = spawn('nsenter', [`--net=${namespacePath(namespace)}`, '--', ...argv], {
      stdio: options.stdio ?? 'pipe',
      env: labEnvironment(this.home, options.env),
      cwd: options.cwd ?? this.home,
      detached: true,
    });
    return this.#adopt(child);
  }

  /** Runs a program to its end. The caller judges its status; 127 means that the program is missing. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runToEnd(() => this.spawn(argv, options), options);
  }

  /** Adds a part that ends with the lab. */
  addPart(part: LabPart): void {
    this.#parts.push(part);
  }

  /** Ends every program that runs in the lab and removes the lab. Safe to call again. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const part of this.#parts.toReversed()) await part.close();
    await Promise.all([...this.#children.values()].map((running) => running.stop()));
    this.#remove();
  }

  /** Closes like `close`, but without waiting, for use at the end of the process. */
  closeNow(): void {
    this.#closed = true;
    this.#remove();
  }

  #remove(): void {
    if (!forgetLab(this)) return;
    for (const pid of this.#children.keys()) endNow(-pid);
    // Processes that our programs left running are found by our HOME, or by a container's variable, in any
    // namespace.
    for (const pid of pidsWithTag(this.tag)) endNow(pid);
    for (const part of this.#parts) part.closeNow();
    deleteNamespace(this.hostNamespace);
    deleteNamespace(this.metadataNamespace);
    if (this.#podReady) deleteNamespace(this.podNamespace);
    for (const name of this.#added) deleteNamespace(name);
    // A daemon that was killed may still be writing its last file.
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  }
}
