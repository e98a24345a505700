/**
 * Finds the exact owner of a socket: the kernel itself reports which process connects
 * (bpf/imds_connect.bpf.c).
 *
 * One connection goes through these steps. The caller's connect() puts the owner's record into the ring, then
 * sends the SYN. When the SYN is captured, the ring may not hold the source port yet, so `ownerOf` returns null. The
 * SYN-ACK makes the socket ESTABLISHED, which puts the ports into the ring. Only then can the caller send the first
 * byte of its request: when that byte is captured, the ring holds everything.
 *
 * The kernel collects packets, and the ring is read once for all packets that it hands over together: the records of a
 * connection are usually read before its packets, up to its end.
 *
 * The owner is the process that connected. If it forks, passes the descriptor to another process or begins another
 * program, the kernel reports which process sends which bytes (`useOf`).
 */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type EndpointService, endpointsOf } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import type { ByteRange, FlowTuple } from '../flow.ts';
import { BpfUnavailable } from '../linux/ebpf_failure.ts';
import type { RingReader } from '../linux/ebpf_ring.ts';
import { BpfObject } from '../linux/libbpf.ts';
import { monotonicNs, realClockUs } from '../linux/libc.ts';
import {
  type Attributor,
  type ConnectionUse,
  fallbackCounters,
  type KernelConnection,
} from './attributor.ts';
import { connectionUse } from './connection_use.ts';
import { AddressTexts } from './ebpf_address.ts';
import { type EbpfSocketOwner, LastingRecords, OwnerReader } from './ebpf_owners.ts';
import {
  ENDPOINT_NUMBERS,
  isUrgent,
  ownerRecord,
  RECORD_KINDS,
  recordHead,
  senderSequence,
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
  /** Used for connections that are older than the agent, and for those whose records were lost. */
  fallback?: Attributor;
  /** Endpoints to report on. Defaults to the instance metadata service only. */
  endpoints?: readonly EndpointService[];
  /** Path of the compiled program. Defaults to the one beside the source. */
  objectPath?: string;
  /** Names of the programs that may report who sends on a socket. Defaults to all, in the order of preference. */
  senderPrograms?: readonly string[];
  /** Inode number of the network namespace whose sockets are preferred. Defaults to this thread's own. */
  netns?: number;
  /** Returns the time of a monotonic clock, in milliseconds. */
  now?: () => number;
}

/** The programs that report who sends on a socket; the kernel takes at most one of them (bpf/imds_connect.bpf.c). */
const SENDER_PROGRAMS = ['imds_bytes_sending', 'imds_bytes_sent'];
/** The programs that remember the arguments of processes. */
const EXECUTION_PROGRAMS: ReadonlySet<string> = new Set(['imds_program_begun', 'imds_process_forked']);

export class EbpfAttributor implements Attributor {
  readonly method = 'ebpf';
  readonly #bpf: BpfObject;
  readonly #ring: RingReader;
  readonly #handler = (bytes: Buffer) => this.#handleRecord(bytes);
  readonly #addresses = new AddressTexts();
  readonly #records = new LastingRecords();
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
    /** Times that another process than before sent on a socket. */
    senders: 0,
    /** Those on sockets that are older than the agent. */
    senders_unknown_sockets: 0,
    malformed_records: 0,
    connections_own_namespace: 0,
    connections_other_namespaces: 0,
    failed_attempts_own_namespace: 0,
    failed_attempts_other_namespaces: 0,
    asked: 0,
    found: 0,
    ambiguous: 0,
    /** Owners of connections that were seen behind address translation only. */
    found_translated: 0,
    /** Sockets of several network namespaces that had the same addresses and ports at one time. */
    overlapping: 0,
    fallback_asked: 0,
    fallback_found: 0,
    executables_from_proc: 0,
    /** Owners with more parents than a record holds: the list ends before pid 1. */
    ancestors_cut: 0,
    /** Owners whose cgroup paths did not fit into a record: /proc is read instead, while they live. */
    cgroup_paths_cut: 0,
  };
  readonly #reader: OwnerReader;
  onConnection: ((connection: KernelConnection) => void) | null = null;
  onClosed: ((netns: number, tuple: FlowTuple) => void) | null = null;
  onUrgentOwner: ((owner: SocketOwner) => void) | null = null;
  readonly useOf?: NonNullable<Attributor['useOf']>;
  readonly collectsPackets = true;
  readonly #stopWaiting: () => void;
  #nowMs = 0;
  #lostSenders = 0;
  #aheadUs: number | null = null;
  #expiredMs = 0;

  /**
   * Loads the program into the kernel and starts to read its records.
   * @throws BpfUnavailable if that is not possible; its message has the reason.
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
    // thread-self is read because a capture may have moved the main thread into another namespace.
    const netns = options.netns ?? statSync('/proc/thread-self/ns/net').ino;
    const prepare = (loaded: BpfObject) => {
      const numbers = chosen.map((address) => ENDPOINT_NUMBERS[address]!);
      loaded.writeArray('chosen_endpoints', numbers, 1);
      loaded.writeArray('own_namespace', [0], netns);
    };
    const bpf = BpfObject.load(elf, prepare, options.senderPrograms ?? SENDER_PROGRAMS);
    try {
      return new EbpfAttributor(bpf, { ...options, netns });
    } catch (error) {
      bpf.close();
      throw error;
    }
  }

  private constructor(bpf: BpfObject, options: EbpfAttributorOptions & { netns: number }) {
    this.#bpf = bpf;
    this.#fallback = options.fallback;
    this.#now = options.now ?? (() => performance.now());
    this.#nowMs = this.#now();
    this.#netns = options.netns;
    this.#reader = new OwnerReader(this.#counts, this.#now);
    this.#ring = bpf.ring('records');
    if (SENDER_PROGRAMS.some((name) => bpf.hasProgram(name)))
      this.useOf = (tuple, initialSequence, bytes) => this.#useOf(tuple, initialSequence, bytes);
    this.#stopWaiting = bpf.whenReadable('records', () => this.poll());
  }

  poll(): void {
    this.#nowMs = this.#now();
    this.#aheadUs = null;
    this.#ring.consume(this.#handler);
    if (this.useOf !== undefined) this.#findLostSenders();
    if (this.#nowMs - this.#expiredMs >= EXPIRE_EVERY_MS) {
      this.#expiredMs = this.#nowMs;
      this.#sockets.expire(this.#nowMs);
      // The fallback reads no reports here; it only deletes facts of old connections.
      this.#fallback?.poll();
    }
  }

  /**
   * The kernel does not say whose report had no room. It may be that of a socket that began after the last reading, which
   * the next one finds.
   */
  #findLostSenders(): void {
    const [lost] = this.#bpf.readArray('lost', [RECORD_KINDS.sender]);
    this.#sockets.missesSenders = lost !== this.#lostSenders;
    if (this.#sockets.missesSenders) this.#sockets.loseSenders();
    this.#lostSenders = lost!;
  }

  /** Returns how far the wall clock is ahead of the monotonic one: it is measured once for the records of one reading. */
  #wallAheadUs(): number {
    this.#aheadUs ??= realClockUs() - Number(monotonicNs() / 1_000n);
    return this.#aheadUs;
  }

  #handleRecord(bytes: Buffer): void {
    const counts = this.#counts;
    counts.records++;
    const head = recordHead(bytes);
    if (head === null) {
      counts.malformed_records++;
      return;
    }
    if (head.kind === 'owner' || head.kind === 'sender') {
      const record = this.#records.internRecord(bytes);
      if (head.kind === 'owner') {
        counts.owners++;
        this.#sockets.addSocket(head.socket, head.netns, record, this.#nowMs);
      } else {
        counts.senders++;
        if (!this.#sockets.addSender(head.socket, record, senderSequence(bytes)))
          counts.senders_unknown_sockets++;
      }
      if (this.onUrgentOwner !== null && isUrgent(record)) {
        const owner = this.#reader.ownerIn(record);
        if (owner !== null) this.onUrgentOwner(owner);
      }
      return;
    }
    if (head.kind === 'closed') {
      this.#sockets.closeSocket(head.socket, this.#nowMs);
      if (this.onClosed !== null)
        this.onClosed(head.netns, tupleOf(stateRecord(head, bytes, this.#addresses)));
      return;
    }
    const isOwnNamespace = head.netns === this.#netns;
    if (head.kind === 'established') {
      if (isOwnNamespace) counts.connections_own_namespace++;
      else counts.connections_other_namespaces++;
    } else {
      if (isOwnNamespace) counts.failed_attempts_own_namespace++;
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
      reportedUs: state.monotonicUs + this.#wallAheadUs(),
      monotonicUs: state.monotonicUs,
      owner: () => (socket === undefined ? null : this.#ownerOfSocket(socket)),
      threadId: () => (socket?.record ? (ownerRecord(socket.record)?.tid ?? null) : null),
      isOpen: () => socket?.isOpen === true,
    });
  }

  /**
   * Returns null at a SYN: the port of a new connection is not known yet, and an owner that is known for
   * these addresses can only be an older one. At a request, returns the owner that the kernel reported, else
   * the fallback's result.
   */
  ownerOf(tuple: FlowTuple, atSyn: boolean, initialSequence: number | null = null): SocketOwner | null {
    if (atSyn) return null;
    this.#counts.asked++;
    const owner = this.#recordedOwner(tuple, initialSequence);
    if (owner !== null) {
      this.#counts.found++;
      return owner;
    }
    const translated = initialSequence === null ? null : this.#translatedOwner(tuple, initialSequence);
    if (translated !== null) {
      this.#counts.found++;
      this.#counts.found_translated++;
      return translated;
    }
    if (this.#fallback === undefined) return null;
    this.#counts.fallback_asked++;
    const older = this.#fallback.ownerOf(tuple, atSyn);
    if (older !== null) this.#counts.fallback_found++;
    return older;
  }

  #recordedOwner(tuple: FlowTuple, initialSequence: number | null): EbpfSocketOwner | null {
    const find = () =>
      initialSequence === null
        ? this.#sockets.find(tuple)
        : this.#sockets.findBySequence(tuple, initialSequence);
    let sockets = find();
    if (sockets.length === 0) {
      // Another CPU may have been writing a record when the ring was read last.
      this.#ring.consume(this.#handler);
      sockets = find();
    }
    const socket = sockets.find((candidate) => candidate.netns === this.#netns) ?? sockets.at(-1);
    if (socket === undefined) return null;
    const owner = this.#ownerOfSocket(socket);
    if (owner !== null && sockets.length > 1) {
      // Two namespaces have the same addresses and ports at once: the packet alone does not show which one
      // sent it.
      this.#counts.ambiguous++;
      return { ...owner, confidence: 'probable' };
    }
    return owner;
  }

  /**
   * Returns the owner of a connection that was captured behind translation only, such as the first one of a
   * new namespace, in which no capture is open yet. The sequence number alone joins both sides.
   */
  #translatedOwner(tuple: FlowTuple, initialSequence: number): EbpfSocketOwner | null {
    const socket = this.#sockets.findTranslated(tuple, initialSequence);
    const owner = socket === null ? null : this.#ownerOfSocket(socket);
    return owner === null ? null : { ...owner, confidence: 'probable' };
  }

  #useOf(tuple: FlowTuple, initialSequence: number, bytes: ByteRange): ConnectionUse | null {
    const [socket, other] = this.#sockets.findBySequence(tuple, initialSequence);
    if (socket !== undefined && other !== undefined) return null;
    const watched = socket ?? this.#sockets.findTranslated(tuple, initialSequence);
    if (watched == null) return null;
    // The sequence number alone joins both sides of a translation, so the processes are not certain, as in `ownerOf`.
    const isTranslated = socket === undefined;
    const asFound = (owner: EbpfSocketOwner): EbpfSocketOwner =>
      isTranslated ? { ...owner, confidence: 'probable' } : owner;
    const reported = this.#ownerOfSocket(watched);
    const opener = reported === null ? null : asFound(reported);
    const { missesSenders } = watched;
    if (watched.senders.length === 0) return { opener, sender: null, isMixed: missesSenders };
    const senders = watched.senders.flatMap(({ record, sequence }) => {
      const owner = this.#reader.ownerIn(record);
      return owner === null ? [] : [{ owner: asFound(owner), sequence }];
    });
    const use = connectionUse(opener, senders, bytes);
    return missesSenders ? { ...use, isMixed: true } : use;
  }

  #ownerOfSocket({ record }: WatchedSocket): EbpfSocketOwner | null {
    return record === null ? null : this.#reader.ownerIn(record);
  }

  watchNamespace(netns: number, within: <T>(action: () => T) => T): void {
    this.#fallback?.watchNamespace?.(netns, within);
  }

  forgetNamespace(netns: number): void {
    this.#fallback?.forgetNamespace?.(netns);
  }

  connectionClosed(tuple: FlowTuple): void {
    // The kernel itself reports the end of each socket.
    this.#fallback?.connectionClosed(tuple);
  }

  /**
   * `executions_missed` counts programs whose arguments were not remembered; `sends_missed` counts sends on any TCP
   * connection of the host for which the kernel did not run the program that tells who sends;
   * `ring_lost_*` counts records that did not fit into the ring; `recursion_misses` counts skipped runs of a
   * program.
   */
  counters(): Counters {
    const counters: Counters = {
      ...this.#counts,
      ...{ ring_lost: 0, recursion_misses: 0, executions_missed: 0, sends_missed: 0 },
    };
    const add = (total: string, part: string, count: number) => {
      counters[`${total}_${part}`] = count;
      counters[total] = counters[total]! + count;
    };
    const lost = this.#bpf.readArray('lost', Object.values(RECORD_KINDS));
    for (const [i, kind] of Object.keys(RECORD_KINDS).entries()) add('ring_lost', kind, lost[i]!);
    for (const [program, misses] of this.#bpf.recursionMisses()) {
      // Without the arguments of a parent no connection is lost: they are read from /proc, or are not known.
      if (EXECUTION_PROGRAMS.has(program)) counters['executions_missed']! += misses;
      // Nearly all of these runs are about other connections than those to an endpoint.
      else if (SENDER_PROGRAMS.includes(program)) counters['sends_missed']! += misses;
      else add('recursion_misses', program, misses);
    }
    counters['joins_without_owner'] = this.#sockets.joinsWithoutOwner;
    counters['evicted'] = this.#sockets.evicted;
    return { ...counters, ...fallbackCounters(this.#fallback) };
  }

  close(): void {
    this.#stopWaiting();
    this.#bpf.close();
    this.#fallback?.close();
  }
}

function tupleOf({ localAddress, localPort, remoteAddress, remotePort }: FlowTuple): FlowTuple {
  return { localAddress, localPort, remoteAddress, remotePort };
}
