/**
 * The exact way to a socket's owner: the kernel itself says who connects (bpf/imds_connect.bpf.c).
 *
 * What happens when, for one connection: the caller's connect() puts the owner's record into the ring, then sends
 * the SYN. When the SYN is captured, the ring holds the owner but not yet the source port, so `ownerOf` has no answer.
 * The answering SYN-ACK makes the socket ESTABLISHED, which puts the ports into the ring, and only then can the caller
 * send its first request byte: when that is captured, the ring holds all.
 *
 * The owner is the process that connected. If it hands the descriptor to another process, or forks, and that one
 * sends the request, the creator is still the one reported.
 */
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type EndpointService, endpointsOf } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import type { FlowTuple } from '../flow.ts';
import { BpfUnavailable } from '../linux/ebpf_failure.ts';
import type { RingReader } from '../linux/ebpf_ring.ts';
import { BpfObject } from '../linux/libbpf.ts';
import { parsePathLink, parseStat } from '../linux/proc_stat.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';
import type { Attributor, KernelConnection } from './attributor.ts';
import { AddressTexts } from './ebpf_address.ts';
import { OwnerRecords } from './ebpf_owners.ts';
import {
  ENDPOINT_NUMBERS,
  ownerRecord,
  RECORD_KINDS,
  type RecordedProcess,
  recordHead,
  stateRecord,
} from './ebpf_records.ts';
import { SocketTable, type WatchedSocket } from './ebpf_sockets.ts';
import type { SocketOwner } from './owner.ts';

const OBJECT_PATH = join(import.meta.dirname, 'bpf', 'imds_connect.bpf.o');
const MAX_SOCKETS = 8192;
const MAX_RETAINED_BYTES = 6 * 1024 * 1024;
const KEEP_CLOSED_MS = 10_000;
const EXPIRE_EVERY_MS = 1000;

export interface EbpfAttributorOptions {
  /** Asked for connections that began before we did, and for those whose records were lost. */
  fallback?: Attributor;
  /** Whose connections are reported and counted; the instance metadata service's unless given. */
  endpoints?: readonly EndpointService[];
  /** The compiled program; the one beside the source unless given. */
  objectPath?: string;
  /** Inode number of the network namespace whose sockets come first; this thread's own unless given. */
  netns?: number;
  /** A clock that never goes back, in milliseconds. */
  now?: () => number;
}

/** An owner with what else the kernel said about it. */
export interface EbpfSocketOwner extends SocketOwner {
  method: 'ebpf';
  /** Inode numbers of the process's mount namespace and of its innermost pid namespace. */
  mountNamespace: number;
  pidNamespace: number;
}

export class EbpfAttributor implements Attributor {
  readonly method = 'ebpf';
  readonly #bpf: BpfObject;
  readonly #ring: RingReader;
  readonly #handler = (bytes: Buffer) => this.#handleRecord(bytes);
  readonly #addresses = new AddressTexts();
  readonly #owners = new OwnerRecords<EbpfSocketOwner>();
  readonly #fallback: Attributor | undefined;
  readonly #netns: number;
  readonly #now: () => number;
  readonly #sockets = new SocketTable({
    maxSockets: MAX_SOCKETS,
    maxBytes: MAX_RETAINED_BYTES,
    keepClosedMs: KEEP_CLOSED_MS,
  });
  readonly #counts = {
    records: 0,
    owners: 0,
    malformed_records: 0,
    connections_own_namespace: 0,
    connections_other_namespaces: 0,
    failed_attempts_own_namespace: 0,
    failed_attempts_other_namespaces: 0,
    asked: 0,
    found: 0,
    ambiguous: 0,
    /** Sockets of several network namespaces that had the same addresses and ports at one time. */
    overlapping: 0,
    fallback_asked: 0,
    fallback_found: 0,
    executables_from_proc: 0,
    /** Owners with more parents than a record holds: the nearest are given, pid 1 is not reached. */
    ancestors_cut: 0,
    /** Owners whose cgroup paths did not fit a record: /proc is asked, while they live. */
    cgroup_paths_cut: 0,
  };
  onConnection: ((connection: KernelConnection) => void) | null = null;
  onClosed: ((netns: number, tuple: FlowTuple) => void) | null = null;
  /** Our own pid namespace: together with the pid in it, it names this process and no other. */
  readonly #pidNamespace = statSync('/proc/self/ns/pid').ino;
  #nowMs = 0;
  #expiredMs = 0;

  /**
   * Loads the program into the kernel and begins to listen.
   * @throws BpfUnavailable with the reason in words.
   */
  static open(options: EbpfAttributorOptions = {}): EbpfAttributor {
    const path = options.objectPath ?? OBJECT_PATH;
    let elf: Buffer;
    try {
      elf = readFileSync(path);
    } catch (cause) {
      throw new BpfUnavailable('object_missing', `the compiled eBPF program ${path} cannot be read`, '', {
        cause,
      });
    }
    const chosen = [...endpointsOf(options.endpoints ?? ['imds']).keys()];
    const bpf = BpfObject.load(elf, (loaded) =>
      loaded.writeArray(
        'chosen_endpoints',
        chosen.map((address) => ENDPOINT_NUMBERS[address]!),
        1,
      ),
    );
    try {
      return new EbpfAttributor(bpf, options);
    } catch (error) {
      bpf.close();
      throw error;
    }
  }

  private constructor(bpf: BpfObject, options: EbpfAttributorOptions) {
    this.#bpf = bpf;
    this.#fallback = options.fallback;
    this.#now = options.now ?? (() => performance.now());
    this.#nowMs = this.#now();
    // thread-self: a capture may have taken the main thread into another namespace.
    this.#netns = options.netns ?? statSync('/proc/thread-self/ns/net').ino;
    this.#ring = bpf.ring('records');
  }

  poll(): void {
    this.#nowMs = this.#now();
    this.#ring.consume(this.#handler);
    if (this.#nowMs - this.#expiredMs >= EXPIRE_EVERY_MS) {
      this.#expiredMs = this.#nowMs;
      this.#sockets.expire(this.#nowMs);
      // It has nothing to take in, only to forget what is long over.
      this.#fallback?.poll();
    }
  }

  #handleRecord(bytes: Buffer): void {
    const counts = this.#counts;
    counts.records++;
    const head = recordHead(bytes);
    if (head === null) {
      counts.malformed_records++;
      return;
    }
    if (head.kind === 'owner') {
      counts.owners++;
      this.#sockets.addSocket(head.socket, head.netns, this.#owners.internRecord(bytes), this.#nowMs);
      return;
    }
    if (head.kind === 'closed') {
      this.#sockets.closeSocket(head.socket, this.#nowMs);
      if (this.onClosed !== null)
        this.onClosed(head.netns, tupleOf(stateRecord(head, bytes, this.#addresses)));
      return;
    }
    const own = head.netns === this.#netns;
    if (head.kind === 'established') {
      if (own) counts.connections_own_namespace++;
      else counts.connections_other_namespaces++;
    } else {
      if (own) counts.failed_attempts_own_namespace++;
      else counts.failed_attempts_other_namespaces++;
    }
    const state = stateRecord(head, bytes, this.#addresses);
    this.#sockets.setAddresses(state, this.#nowMs);
    const { kind, netns, initialSequence } = state;
    const tuple = tupleOf(state);
    const socket = this.#sockets.find(tuple).findLast((candidate) => candidate.netns === netns);
    if (kind === 'established' && this.#sockets.find(tuple).filter(({ isOpen }) => isOpen).length > 1) {
      counts.overlapping++;
    }
    if (this.onConnection === null || kind === 'closed') return;
    this.onConnection({
      kind,
      netns,
      tuple,
      initialSequence,
      owner: () => (socket === undefined ? null : this.#readOwner(socket)),
      threadId: () => (socket?.record ? (ownerRecord(socket.record)?.tid ?? null) : null),
      isOpen: () => socket?.isOpen === true,
    });
  }

  /**
   * Null at a SYN: the port of a connection that just begins is not known yet, and what is known under this address
   * can only be an older one. At a request: the kernel's word, else the fallback's.
   */
  ownerOf(tuple: FlowTuple, atSyn: boolean, initialSequence: number | null = null): SocketOwner | null {
    if (atSyn) return null;
    this.#counts.asked++;
    const owner = this.#recordedOwner(tuple, initialSequence);
    if (owner !== null) {
      this.#counts.found++;
      return owner;
    }
    if (this.#fallback === undefined) return null;
    this.#counts.fallback_asked++;
    const older = this.#fallback.ownerOf(tuple, atSyn);
    if (older !== null) this.#counts.fallback_found++;
    return older;
  }

  #recordedOwner(tuple: FlowTuple, initialSequence: number | null): EbpfSocketOwner | null {
    const find = () => {
      const all = this.#sockets.find(tuple);
      return initialSequence === null
        ? all
        : all.filter((candidate) => candidate.initialSequence === initialSequence);
    };
    let sockets = find();
    if (sockets.length === 0) {
      // Another CPU may have been in the middle of writing a record when the ring was drained last.
      this.#ring.consume(this.#handler);
      sockets = find();
    }
    const socket = sockets.find((candidate) => candidate.netns === this.#netns) ?? sockets.at(-1);
    if (socket === undefined) return null;
    const owner = this.#readOwner(socket);
    if (owner !== null && sockets.length > 1) {
      // The same addresses and ports in two namespaces at once: the packet alone does not say whose it is.
      this.#counts.ambiguous++;
      return { ...owner, confidence: 'probable' };
    }
    return owner;
  }

  #readOwner(socket: WatchedSocket): EbpfSocketOwner | null {
    if (socket.record === null) return null;
    const known = this.#owners.rememberedOwner(socket.record);
    if (known !== undefined) return known;
    const record = ownerRecord(socket.record);
    if (record === null) {
      this.#counts.malformed_records++;
      return null;
    }
    if (record.ancestorsCut) this.#counts.ancestors_cut++;
    if (record.cgroupsCut) this.#counts.cgroup_paths_cut++;
    const owner: EbpfSocketOwner = {
      ...this.#snapshot(record),
      uid: record.uid,
      args: record.args,
      argsTruncated: record.argsTruncated,
      netns: record.netns,
      cgroupId: record.cgroupId,
      cgroupPaths: record.cgroupPaths,
      ancestors: record.ancestors.map((ancestor) => this.#snapshot(ancestor)),
      mountNamespace: record.mountNamespace,
      pidNamespace: record.pidNamespace,
      method: 'ebpf',
      confidence: 'exact',
      isSelf: record.pidNamespace === this.#pidNamespace && record.innerPid === process.pid,
    };
    // A path that is asked of /proc may be there the next time, or gone; what the record holds stays as it is.
    const asksProc = record.executableCut || record.ancestors.some(({ executableCut }) => executableCut);
    if (!asksProc && !record.ancestorsCut) this.#owners.rememberOwner(socket.record, owner);
    return owner;
  }

  #snapshot(process: RecordedProcess): ProcessSnapshot {
    const { pid, startTicks, name } = process;
    if (!process.executableCut) return { pid, startTicks, name, executable: process.executable };
    const executable = executableFromProc(pid, startTicks);
    if (executable !== null) this.#counts.executables_from_proc++;
    return { pid, startTicks, name, executable };
  }

  watchNamespace(netns: number, within: <T>(action: () => T) => T): void {
    this.#fallback?.watchNamespace?.(netns, within);
  }

  forgetNamespace(netns: number): void {
    this.#fallback?.forgetNamespace?.(netns);
  }

  connectionClosed(tuple: FlowTuple): void {
    // The kernel itself reports the end of each socket that we know.
    this.#fallback?.connectionClosed(tuple);
  }

  /** `ring_lost_*`: records that did not fit the ring. `recursion_misses`: state changes the kernel did not show us. */
  counters(): Counters {
    const counters: Counters = { ...this.#counts, ring_lost: 0, recursion_misses: 0 };
    const add = (total: string, part: string, count: number) => {
      counters[`${total}_${part}`] = count;
      counters[total] = counters[total]! + count;
    };
    const lost = this.#bpf.readArray('lost', Object.values(RECORD_KINDS));
    for (const [i, kind] of Object.keys(RECORD_KINDS).entries()) add('ring_lost', kind, lost[i]!);
    for (const [program, misses] of this.#bpf.recursionMisses()) add('recursion_misses', program, misses);
    counters['joins_without_owner'] = this.#sockets.joinsWithoutOwner;
    counters['evicted'] = this.#sockets.evicted;
    for (const [name, count] of Object.entries(this.#fallback?.counters() ?? {})) {
      counters[`fallback_${name}`] = count;
    }
    return counters;
  }

  close(): void {
    this.#bpf.close();
    this.#fallback?.close();
  }
}

function tupleOf({ localAddress, localPort, remoteAddress, remotePort }: FlowTuple): FlowTuple {
  return { localAddress, localPort, remoteAddress, remotePort };
}

/** The executable's path by /proc, if the process is still the one that is meant; null when it is gone. */
function executableFromProc(pid: number, startTicks: number): string | null {
  try {
    const path = parsePathLink(Buffer.from(readlinkSync(`/proc/${pid}/exe`)));
    return parseStat(readFileSync(`/proc/${pid}/stat`))?.startTicks === startTicks ? path : null;
  } catch {
    return null;
  }
}
