/**
 * Finds the exact owner of a socket where the kernel has no type information or no ring buffer: a program on an ordinary
 * tracepoint reports which process connects (tracepoint_program.ts), and the kernel's process events say what that
 * process is (process_watch.ts). Where no eBPF program may be loaded, samples of the same tracepoint do
 * (connection_samples.ts). Then the look-ups of sock_diag.ts stand in for connections without a sample.
 *
 * Limits, compared with ebpf.ts: the kernel reports neither the sequence number of a SYN nor the network namespace of a
 * socket. So its connections are not compared with those that were captured, and a connection that is seen behind
 * address translation only has no owner.
 */
import { statSync } from 'node:fs';
import type { EndpointService } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import type { FlowTuple } from '../flow.ts';
import { wallAheadUs } from '../linux/libc.ts';
import { type Attributor, fallbackCounters, type RecordedConnection } from './attributor.ts';
import { ConnectionSamples } from './connection_samples.ts';
import { SocketTable, type WatchedSocket } from './ebpf_sockets.ts';
import { LastingOwners } from './lasting_owners.ts';
import type { SocketOwner } from './owner.ts';
import type { ProcessWatch } from './process_watch.ts';
import { TracepointOwners } from './tracepoint_owners.ts';
import { TracepointProbe } from './tracepoint_probe.ts';
import type { RecordReading, TracepointRecord } from './tracepoint_records.ts';

const MAX_SOCKETS = 8192;
const MAX_RETAINED_BYTES = 6 * 1024 * 1024;
const KEEP_CLOSED_MS = 10_000;
const EXPIRE_EVERY_MS = 1000;
/** Inode number of the initial pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const INITIAL_PID_NAMESPACE_INODE = 0xeffffffc;
/** A socket is not reported later than its SYN by more than this: the wall clock may have been set in between. */
const CLOCK_TOLERANCE_US = 100_000;
/** An owner's size beside its texts: objects, numbers and lists. */
const OWNER_BYTES = 500;

/** A source of reports about connections: the program, or samples of the tracepoint. */
export interface ConnectionReports {
  onFilling: () => void;
  /** Returns the records that wait. */
  read(): RecordReading;
  counters(): Counters;
  close(): void;
}

export interface TracepointAttributorOptions {
  /** Used for connections that are older than the agent, and for those whose records were lost. */
  fallback: Attributor | null;
  /** Null if the kernel delivers no process events: then processes are read when they have connected. */
  processes: ProcessWatch | null;
  /** Endpoints to report on. Defaults to the instance metadata service only. */
  endpoints?: readonly EndpointService[];
  procRoot?: string;
}

/** An owner with its size. */
interface KeptOwner {
  owner: SocketOwner | null;
  length: number;
}

export class TracepointAttributor implements Attributor {
  readonly method: 'tracepoint' | 'sock_diag';
  readonly inferOwner?: (tuple: FlowTuple, begunUs: number) => SocketOwner | null;
  /** Never called: see the limits above. */
  onConnection: Attributor['onConnection'] = null;
  onClosed: Attributor['onClosed'] = null;
  onNamespace: NonNullable<Attributor['onNamespace']> | null = null;
  readonly namesAfterSyn = true;
  readonly useOf?: NonNullable<Attributor['useOf']>;
  readonly inodeOf?: (tuple: FlowTuple) => number | null;
  /**
   * A record names its caller, and process events say what that was, whenever they are read. Without process events
   * callers are read when their packets come; in another pid namespace our own calls are known by their sockets only.
   * Samples may lack a connection, whose caller is looked for while it waits.
   */
  readonly collectsPackets: boolean;
  readonly #reports: ConnectionReports;
  readonly #fallback: Attributor | null;
  readonly #processes: ProcessWatch | null;
  readonly #owners: TracepointOwners;
  readonly #lasting = new LastingOwners();
  readonly #netns: number;
  readonly #sockets = new SocketTable<KeptOwner>({
    maxSockets: MAX_SOCKETS,
    maxBytes: MAX_RETAINED_BYTES,
    keepClosedMs: KEEP_CLOSED_MS,
  });
  readonly #counts = {
    records: 0,
    owners: 0,
    asked: 0,
    found: 0,
    ambiguous: 0,
    /** Readings of the kernel's buffers before which records may have been lost. Nothing is concluded from those. */
    incomplete_readings: 0,
    fallback_asked: 0,
    fallback_found: 0,
  };
  readonly #connections = new WeakMap<WatchedSocket<KeptOwner>, Recorded>();
  #expiredMs = 0;

  /**
   * Loads the program into the kernel and starts to read its records.
   * @throws BpfUnavailable if that is not possible; its message has the reason.
   */
  static open(options: TracepointAttributorOptions): TracepointAttributor {
    const probe = TracepointProbe.open(options.endpoints ?? ['imds']);
    return new TracepointAttributor(probe, 'tracepoint', options);
  }

  /**
   * Takes samples of the tracepoint, and loads no program.
   * @throws BpfUnavailable if that is not possible; its message has the reason.
   */
  static openSamples(
    options: TracepointAttributorOptions & { processes: ProcessWatch },
  ): TracepointAttributor {
    const samples = ConnectionSamples.open(options.endpoints ?? ['imds']);
    return new TracepointAttributor(samples, 'sock_diag', options);
  }

  /** @param method `sock_diag` where the reports are samples, and the fallback's look-ups stand in for them. */
  constructor(
    reports: ConnectionReports,
    method: TracepointAttributor['method'],
    options: TracepointAttributorOptions,
  ) {
    this.#reports = reports;
    this.method = method;
    this.#fallback = options.fallback;
    this.#processes = options.processes;
    const isInitial = statSync('/proc/self/ns/pid').ino === INITIAL_PID_NAMESPACE_INODE;
    this.#owners = new TracepointOwners(
      options.processes,
      options.procRoot ?? '/proc',
      isInitial ? process.pid : null,
      method === 'tracepoint' ? 'ebpf' : 'sock_diag',
    );
    this.collectsPackets = method === 'tracepoint' && options.processes !== null && isInitial;
    const { fallback } = options;
    if (fallback?.inodeOf !== undefined) this.inodeOf = (tuple) => fallback.inodeOf!(tuple);
    // A caller of which packets are collected does not wait for its answer any more when they are handled.
    if (method === 'sock_diag' && fallback?.useOf !== undefined)
      this.useOf = (tuple, initialSequence, bytes, opener) =>
        fallback.useOf!(tuple, initialSequence, bytes, opener, () => this.#isOpenOf(tuple, opener));
    if (options.processes !== null) {
      options.processes.onNamespace = (netns, pid) => this.onNamespace?.(netns, pid);
    }
    if (fallback?.inferOwner !== undefined) {
      this.inferOwner = (tuple, begunUs) => this.#infer(fallback, tuple, begunUs);
    }
    // thread-self is read because a capture may have moved the main thread into another namespace.
    this.#netns = statSync('/proc/thread-self/ns/net').ino;
    reports.onFilling = () => this.#drain();
  }

  poll(): void {
    this.#drain();
    const nowMs = performance.now();
    if (nowMs - this.#expiredMs < EXPIRE_EVERY_MS) return;
    this.#expiredMs = nowMs;
    this.#sockets.expire(nowMs);
    // The fallback reads no reports here; it only deletes facts of old connections.
    this.#fallback?.poll();
  }

  #drain(): void {
    const { records, gapNs } = this.#reports.read();
    // Read after the records: what a caller did before it connected has left its event by now.
    this.#processes?.poll();
    const nowMs = performance.now();
    let isKnown = true;
    for (const record of records) {
      if (isKnown && gapNs !== null && record.timeNs > gapNs) isKnown = this.#beginGap();
      this.#handle(record, nowMs, isKnown);
    }
    if (gapNs !== null && isKnown) this.#beginGap();
  }

  /**
   * Forgets what may be joined wrongly. The kernel uses a socket's address again: without the reports in between, the next
   * report about it may be another socket's. Returns false.
   */
  #beginGap(): false {
    this.#sockets.forgetUnjoined();
    this.#counts.incomplete_readings++;
    return false;
  }

  #handle(record: TracepointRecord, nowMs: number, isKnown: boolean): void {
    this.#counts.records++;
    const { kind, socket, tuple, caller, timeNs } = record;
    if (kind === 'begun') {
      if (!isKnown) return; // its socket is one without an owner
      this.#counts.owners++;
      const found = caller && this.#owners.ownerOf(caller, timeNs);
      const owner = found && this.#lasting.sharedOwner(found);
      this.#sockets.addSocket(socket, owner?.netns ?? null, { owner, length: bytesOf(owner) }, nowMs, timeNs);
    } else if (kind === 'closed') {
      this.#sockets.closeSocket(socket, nowMs);
    } else {
      this.#sockets.setAddresses(
        { kind, socket, ...tuple, netns: null, initialSequence: null },
        nowMs,
        timeNs,
      );
    }
  }

  /** See `EbpfAttributor.ownerOf`: a port is known only when the service has answered the SYN. */
  ownerOf(
    tuple: FlowTuple,
    atSyn: boolean,
    initialSequence: number | null = null,
    begunUs: number | null = null,
  ): SocketOwner | null {
    if (atSyn) return null;
    this.#counts.asked++;
    const owner = this.#recordedOwner(tuple, begunUs);
    if (owner !== null) {
      this.#counts.found++;
      return owner;
    }
    if (this.#fallback === null) return null;
    this.#counts.fallback_asked++;
    const older = this.#fallback.ownerOf(tuple, atSyn, initialSequence, begunUs);
    if (older !== null) this.#counts.fallback_found++;
    return older;
  }

  /** The kernel may have reported a process of which nothing is known. Then it is nobody else. */
  #infer(fallback: Attributor, tuple: FlowTuple, begunUs: number): SocketOwner | null {
    const recorded = this.#recordedOwner(tuple, begunUs);
    if (recorded !== null || this.#socketsOf(tuple, begunUs)[0]?.record != null) return recorded;
    return fallback.inferOwner!(tuple, begunUs);
  }

  /** @param begunUs when the SYN was sent; null if it was not seen. */
  #recordedOwner(tuple: FlowTuple, begunUs: number | null): SocketOwner | null {
    // Another CPU may have been writing a record when the buffers were read last.
    if (this.#sockets.find(tuple).length === 0) this.#drain();
    const sockets = this.#socketsOf(tuple, begunUs);
    const owner = sockets[0]?.record?.owner ?? null;
    const isAmbiguous =
      begunUs === null ? sockets.length > 1 : sockets.filter(({ isOpen }) => isOpen).length > 1;
    if (owner === null || !isAmbiguous) return owner;
    // Two namespaces have the same addresses and ports at once: the packet alone does not show which one sent it.
    this.#counts.ambiguous++;
    return { ...owner, confidence: 'probable' };
  }

  /**
   * Returns the sockets that may have made a connection, the likeliest first. A port may be used again before the packets
   * of its first connection are handled: a socket begins just before its SYN is sent, and never after it.
   */
  #socketsOf(tuple: FlowTuple, begunUs: number | null): readonly WatchedSocket<KeptOwner>[] {
    const sockets = this.#sockets.find(tuple);
    if (begunUs === null) {
      const rank = ({ isOpen, netns }: WatchedSocket<KeptOwner>) =>
        isOpen ? (netns === this.#netns ? 0 : 1) : 2;
      return sockets.toReversed().sort((one, other) => rank(one) - rank(other));
    }
    if (sockets.length === 0) return sockets;
    const aheadUs = wallAheadUs();
    return sockets
      .map((socket) => ({ socket, lateUs: Number(socket.reportedNs! / 1_000n) + aheadUs - begunUs }))
      .filter(({ lateUs }) => lateUs < CLOCK_TOLERANCE_US)
      .sort((one, other) => Math.abs(one.lateUs) - Math.abs(other.lateUs))
      .map(({ socket }) => socket);
  }

  /** Returns whether the connection is still open that a process made: no other one has its port. */
  #isOpenOf(tuple: FlowTuple, opener: SocketOwner | null): boolean {
    this.#drain();
    const newest = this.#sockets.find(tuple).at(-1);
    return newest === undefined || (newest.isOpen && (newest.record?.owner ?? opener) === opener);
  }

  *connectionsIn(netns: number): Iterable<RecordedConnection> {
    for (const socket of this.#sockets.socketsIn(netns)) {
      const known = this.#connections.get(socket);
      const made = known ?? new Recorded(socket);
      if (known === undefined) this.#connections.set(socket, made);
      yield made;
    }
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

  /** `owners_lost` counts records that did not fit into a buffer, and runs of the program that the kernel skipped. */
  counters(): Counters {
    const { ring_lost = 0, recursion_misses = 0, ...others } = this.#reports.counters();
    const counters: Counters = {
      ...this.#counts,
      ...others,
      owners_lost: ring_lost + recursion_misses,
      ...this.#owners.counters(),
      joins_without_owner: this.#sockets.joinsWithoutOwner,
      evicted: this.#sockets.evicted,
    };
    if (this.method === 'tracepoint') {
      return { ...counters, ...this.#processes?.counters(), ...fallbackCounters(this.#fallback) };
    }
    // The look-ups keep the names of their counters. A lost sample is no loss: they stand in for it.
    const sampled = Object.entries(counters).map(([name, count]) => [`sampled_${name}`, count] as const);
    return { ...Object.fromEntries(sampled), ...this.#fallback?.counters() };
  }

  close(): void {
    this.#reports.close();
    // With samples, the look-ups use the same process events, and close them.
    if (this.method === 'tracepoint' || this.#fallback === null) this.#processes?.close();
    this.#fallback?.close();
  }
}

class Recorded implements RecordedConnection {
  readonly #socket: WatchedSocket<KeptOwner>;
  readonly tuple: FlowTuple;

  constructor(socket: WatchedSocket<KeptOwner>) {
    this.#socket = socket;
    this.tuple = socket.tuple!;
  }

  get owner(): SocketOwner | null {
    return this.#socket.record?.owner ?? null;
  }

  get isOpen(): boolean {
    return this.#socket.isOpen;
  }
}

function bytesOf(owner: SocketOwner | null): number {
  const texts = [
    ...(owner?.args ?? []),
    ...(owner?.ancestors ?? []).flatMap(({ args, executable }) => [executable, ...(args ?? [])]),
  ];
  return texts.reduce((sum, text) => sum + (text?.length ?? 0), OWNER_BYTES);
}
