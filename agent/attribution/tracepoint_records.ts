/**
 * Decodes the records of the tracepoint program (tracepoint_program.ts): bytes in, values out. Samples of the tracepoint
 * (connection_samples.ts) become the same records.
 */
import type { FlowTuple } from '../flow.ts';
import type { AddressTexts } from './ebpf_address.ts';
import { RECORD_BYTES, RECORD_LAYOUT, STATES } from './tracepoint_program.ts';

const COMM_BYTES = 16;
const TCP_SYN_SENT = 2;

export interface TracepointRecord {
  kind: 'begun' | 'established' | 'failed' | 'closed';
  /** The low 53 bits of the socket's address in the kernel: a key while the socket lives. */
  socket: number;
  /** The kernel's monotonic clock. */
  timeNs: bigint;
  /** `localPort` is 0 as long as none is chosen. */
  tuple: FlowTuple;
  /** The caller; null except in `begun`. */
  caller: TracepointCaller | null;
}

export interface TracepointCaller {
  pid: number;
  tid: number;
  /** Real user id, in the initial user namespace; null in samples. */
  realUid: number | null;
  /** cgroup v2 id; null before Linux 4.18, and in samples. */
  cgroupId: bigint | null;
  /** The name of the thread; null in samples. */
  name: string | null;
}

/** The records that waited in the buffers of all CPUs. */
export class RecordReading {
  readonly records: TracepointRecord[] = [];
  /** All records until this time are there; of later ones some may be lost. Null if all are there. */
  gapNs: bigint | null = null;

  /** Learns that a buffer had no room after its record of this time. */
  addGap(timeNs: bigint): void {
    if (this.gapNs === null || timeNs < this.gapNs) this.gapNs = timeNs;
  }

  /** Puts the records into the order of their times. */
  sort(): this {
    this.records.sort((one, other) => (one.timeNs < other.timeNs ? -1 : one.timeNs > other.timeNs ? 1 : 0));
    return this;
  }
}

/** Returns null for bytes that are no record. */
export function tracepointRecord(bytes: Buffer, addresses: AddressTexts): TracepointRecord | null {
  if (bytes.length < RECORD_BYTES) return null;
  const state = bytes.readUInt32LE(RECORD_LAYOUT.state);
  const kind = kindOf(state, bytes.readUInt32LE(RECORD_LAYOUT.old_state));
  if (kind === null) return null;
  return {
    kind,
    socket: socketKey(bytes, RECORD_LAYOUT.socket),
    timeNs: bytes.readBigUInt64LE(RECORD_LAYOUT.time_ns),
    tuple: {
      localAddress: addresses.textOf(bytes, RECORD_LAYOUT.local_address),
      localPort: bytes.readUInt16LE(RECORD_LAYOUT.local_port),
      remoteAddress: addresses.textOf(bytes, RECORD_LAYOUT.remote_address),
      remotePort: bytes.readUInt16LE(RECORD_LAYOUT.remote_port),
    },
    caller: kind === 'begun' ? callerIn(bytes) : null,
  };
}

function textAt(bytes: Buffer, at: number, length: number): string {
  const end = bytes.subarray(at, at + length).indexOf(0);
  return bytes.toString('utf8', at, at + (end < 0 ? length : end));
}

/** Returns the key of a socket, of which the kernel's address stands at an offset. */
export function socketKey(bytes: Buffer, offset: number): number {
  // The upper bits of a kernel address are all ones: 53 bits identify a socket and fit a plain number.
  return (bytes.readUInt32LE(offset + 4) & 0x1fffff) * 2 ** 32 + bytes.readUInt32LE(offset);
}

/** Returns the kind of a change between two states of a socket; null if it is of no interest. */
export function kindOf(state: number, oldState: number): TracepointRecord['kind'] | null {
  if (state === STATES.begun) return 'begun';
  if (state === STATES.established) return 'established';
  if (state !== STATES.closed) return null;
  return oldState === TCP_SYN_SENT ? 'failed' : 'closed';
}

function callerIn(bytes: Buffer): TracepointCaller {
  const cgroupId = bytes.readBigUInt64LE(RECORD_LAYOUT.cgroup_id);
  return {
    tid: bytes.readUInt32LE(RECORD_LAYOUT.pid_tgid),
    pid: bytes.readUInt32LE(RECORD_LAYOUT.pid_tgid + 4),
    realUid: bytes.readUInt32LE(RECORD_LAYOUT.uid_gid),
    cgroupId: cgroupId === 0n ? null : cgroupId,
    name: textAt(bytes, RECORD_LAYOUT.comm, COMM_BYTES),
  };
}
