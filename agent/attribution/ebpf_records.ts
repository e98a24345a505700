/**
 * Decodes the records of the eBPF program, whose layouts are in bpf/records.h: bytes in, values out. No bytes
 * make these functions throw. Bytes without the layout give null, which the caller counts.
 *
 * The byte order is the machine's own. Both supported machines (x86-64, arm64) are little-endian.
 */

import type { FlowTuple } from '../flow.ts';
import { parseCommandLine } from '../linux/proc_stat.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';
import type { AddressTexts } from './ebpf_address.ts';

/** The values of `enum record_kind`, which are also the keys of the map `lost`. */
export const RECORD_KINDS = { owner: 1, established: 2, failed: 3, closed: 4, sender: 5 } as const;

/** The values of `enum endpoint` by address. They are also the keys of the map `chosen_endpoints`. */
export const ENDPOINT_NUMBERS: Readonly<Record<string, number>> = {
  '169.254.169.254': 1,
  'fd00:ec2::254': 2,
  '169.254.170.2': 3,
  '169.254.170.23': 4,
  'fd00:ec2::23': 5,
};

/** Byte offsets in `struct owner_record`; a test compares them with the object's own type information. */
export const OWNER_LAYOUT = {
  kind: 0,
  endpoint: 2,
  net_ns: 4,
  socket: 8,
  sequence: 16,
  reserved: 20,
  start_boottime_ns: 24,
  cgroup_id: 32,
  tgid: 40,
  tid: 44,
  euid: 48,
  mount_ns: 52,
  pid_ns: 56,
  flags: 60,
  ancestors: 62,
  args_bytes: 64,
  executable_bytes: 66,
  cgroups_bytes: 68,
  data_bytes: 70,
  comm: 72,
  inner_pid: 88,
  args_rest_bytes: 92,
  working_directory_bytes: 94,
} as const;
export const OWNER_HEAD_BYTES = 96;

/** Byte offsets in `struct ancestor_record`. */
export const ANCESTOR_LAYOUT = {
  start_boottime_ns: 0,
  tgid: 8,
  flags: 12,
  executable_bytes: 14,
  args_bytes: 16,
  reserved: 18,
  comm: 24,
} as const;
export const ANCESTOR_HEAD_BYTES = 40;

/** Byte offsets in `struct state_record`. */
export const STATE_LAYOUT = {
  kind: 0,
  endpoint: 2,
  net_ns: 4,
  socket: 8,
  local_port: 16,
  remote_port: 18,
  initial_sequence: 20,
  local_address: 24,
  remote_address: 40,
  time_ns: 56,
} as const;
export const STATE_BYTES = 64;
/** An owner's record is recognised from its first bytes. */
const LEAST_BYTES = 64;

const COMM_BYTES = 16;
// enum owner_flags
const ARGS_CUT = 1;
const ARGS_UNREADABLE = 2;
const EXECUTABLE_CUT = 4;
const ANCESTORS_CUT = 8;
const CGROUPS_CUT = 16;
const WORKING_DIRECTORY_CUT = 32;
const URGENT = 64;

/**
 * No option that takes a value has a longer name. So if more of an argument is known, it is known whether the next
 * argument is its value.
 */
const LONGEST_OPTION_CHARACTERS = 64;

/** A clock tick of /proc is 1/100 s on every Linux (USER_HZ). */
const NANOSECONDS_PER_TICK = 10_000_000n;

export interface RecordHead {
  kind: keyof typeof RECORD_KINDS;
  /** Inode number of the socket's network namespace. */
  netns: number;
  /** The low 53 bits of the socket's address in the kernel: a key while the socket lives. */
  socket: number;
}

/** `localPort` is 0 if the attempt failed before a port was chosen. */
export interface StateRecord extends RecordHead, FlowTuple {
  kind: 'established' | 'failed' | 'closed';
  /** Sequence number of the SYN that the socket sent; it has no meaning if none was sent. */
  initialSequence: number;
  /** The monotonic clock's time of the change (CLOCK_MONOTONIC), in microseconds. */
  monotonicUs: number;
}

/**
 * A process as recorded. With `executableCut`, its path was too long to be recorded and `executable` is null.
 */
export interface RecordedProcess extends ProcessSnapshot {
  executableCut: boolean;
}

export interface OwnerRecord extends RecordedProcess {
  tid: number;
  /** Effective user id, in the initial user namespace. */
  uid: number;
  netns: number;
  mountNamespace: number;
  /** The innermost pid namespace of the process. `pid` is its number in the initial one. */
  pidNamespace: number;
  /** The process's number in that namespace. */
  innerPid: number;
  cgroupId: bigint;
  /** Paths below the roots of the hierarchies, each once; null if there are none, or with `cgroupsCut`. */
  cgroupPaths: string[] | null;
  /** A path was too deep or too long to be recorded, or the process was being moved. */
  cgroupsCut: boolean;
  /** Path of the working directory, as /proc/PID/cwd shows it; undefined if it was too long to be recorded. */
  workingDirectory: string | undefined;
  /** Null if the kernel could not read them (paged out, or a kernel thread). */
  args: string[] | null;
  argsTruncated: boolean;
  /** Arguments after the last one of `args`, which was cut. Null if none are known. */
  argsAfterCut: string[] | null;
  /** Nearest first. The list ends at pid 1 unless `ancestorsCut`. */
  ancestors: RecordedProcess[];
  ancestorsCut: boolean;
}

const KIND_NAMES = new Map<number, keyof typeof RECORD_KINDS>(
  Object.entries(RECORD_KINDS).map(([name, value]) => [value, name as keyof typeof RECORD_KINDS]),
);

/** Returns the kind of a record and its socket; null if the bytes are no whole record. */
export function recordHead(bytes: Buffer): RecordHead | null {
  const { length } = bytes;
  if (length < LEAST_BYTES) return null;
  const kind = KIND_NAMES.get(bytes.readUInt16LE(OWNER_LAYOUT.kind));
  if (kind === undefined) return null;
  if (kind === 'owner' || kind === 'sender') {
    if (length < OWNER_HEAD_BYTES) return null;
    if (length < OWNER_HEAD_BYTES + bytes.readUInt16LE(OWNER_LAYOUT.data_bytes)) return null;
  } else if (length < STATE_BYTES) {
    return null;
  }
  const low = bytes.readUInt32LE(OWNER_LAYOUT.socket);
  const high = bytes.readUInt32LE(OWNER_LAYOUT.socket + 4);
  return {
    kind,
    netns: bytes.readUInt32LE(OWNER_LAYOUT.net_ns),
    // The upper bits of a kernel address are all ones: 53 bits identify a socket and fit a plain number.
    socket: (high & 0x1fffff) * 2 ** 32 + low,
  };
}

/** Returns the sequence number of the first byte that the process of a record of the kind `sender` sends. */
export function senderSequence(bytes: Buffer): number {
  return bytes.readUInt32LE(OWNER_LAYOUT.sequence);
}

/** Returns whether the program woke us up for an owner's record, since /proc must be read at once. */
export function isUrgent(bytes: Buffer): boolean {
  return (bytes.readUInt16LE(OWNER_LAYOUT.flags) & URGENT) !== 0;
}

/** Decodes a record of the kind `established`, `failed` or `closed`. */
export function stateRecord(head: RecordHead, bytes: Buffer, addresses: AddressTexts): StateRecord {
  return {
    kind: head.kind as StateRecord['kind'],
    netns: head.netns,
    socket: head.socket,
    localAddress: addresses.textOf(bytes, STATE_LAYOUT.local_address),
    localPort: bytes.readUInt16LE(STATE_LAYOUT.local_port),
    remoteAddress: addresses.textOf(bytes, STATE_LAYOUT.remote_address),
    remotePort: bytes.readUInt16LE(STATE_LAYOUT.remote_port),
    initialSequence: bytes.readUInt32LE(STATE_LAYOUT.initial_sequence),
    monotonicUs: Number(bytes.readBigUInt64LE(STATE_LAYOUT.time_ns)) / 1_000,
  };
}

/**
 * Decodes the record of an owner or a sender; returns null if its parts do not fit together. `readAncestors` may remember ancestors that
 * were decoded before.
 */
export function ownerRecord(bytes: Buffer, readAncestors = ancestorRecords): OwnerRecord | null {
  const kind = recordHead(bytes)?.kind;
  if (kind !== 'owner' && kind !== 'sender') return null;
  const flags = bytes.readUInt16LE(OWNER_LAYOUT.flags);
  const argsBytes = bytes.readUInt16LE(OWNER_LAYOUT.args_bytes);
  const executableBytes = bytes.readUInt16LE(OWNER_LAYOUT.executable_bytes);
  const end = OWNER_HEAD_BYTES + bytes.readUInt16LE(OWNER_LAYOUT.data_bytes);
  const argsEnd = OWNER_HEAD_BYTES + argsBytes;
  const restBytes = bytes.readUInt16LE(OWNER_LAYOUT.args_rest_bytes);
  if (restBytes > argsBytes) return null;
  const headEnd = argsEnd - restBytes;
  const executableEnd = argsEnd + executableBytes;
  const cgroupsEnd = executableEnd + bytes.readUInt16LE(OWNER_LAYOUT.cgroups_bytes);
  const directoryEnd = cgroupsEnd + bytes.readUInt16LE(OWNER_LAYOUT.working_directory_bytes);
  if (directoryEnd > end) return null;
  const ancestors = readAncestors(bytes, directoryEnd, end, bytes.readUInt16LE(OWNER_LAYOUT.ancestors));
  if (ancestors === null) return null;

  // Every argument ends with NUL. If the last one does not, the process has overwritten its arguments (with a
  // title).
  const whole = argsBytes === restBytes || bytes[headEnd - 1] === 0;
  const args = flags & ARGS_UNREADABLE ? null : argumentList(bytes, OWNER_HEAD_BYTES, headEnd);
  const executableCut = (flags & EXECUTABLE_CUT) !== 0;
  return {
    pid: bytes.readUInt32LE(OWNER_LAYOUT.tgid),
    tid: bytes.readUInt32LE(OWNER_LAYOUT.tid),
    startTicks: ticksAt(bytes, OWNER_LAYOUT.start_boottime_ns),
    name: commText(bytes, OWNER_LAYOUT.comm),
    executable: executableCut ? null : pathOf(bytes, argsEnd, executableEnd),
    executableCut,
    uid: bytes.readUInt32LE(OWNER_LAYOUT.euid),
    netns: bytes.readUInt32LE(OWNER_LAYOUT.net_ns),
    mountNamespace: bytes.readUInt32LE(OWNER_LAYOUT.mount_ns),
    pidNamespace: bytes.readUInt32LE(OWNER_LAYOUT.pid_ns),
    innerPid: bytes.readUInt32LE(OWNER_LAYOUT.inner_pid),
    cgroupId: bytes.readBigUInt64LE(OWNER_LAYOUT.cgroup_id),
    cgroupPaths: flags & CGROUPS_CUT ? null : cgroupPathList(bytes, executableEnd, cgroupsEnd),
    cgroupsCut: (flags & CGROUPS_CUT) !== 0,
    workingDirectory:
      flags & WORKING_DIRECTORY_CUT ? undefined : (pathOf(bytes, cgroupsEnd, directoryEnd) ?? '/'),
    args,
    argsTruncated: (flags & ARGS_CUT) !== 0 || !whole,
    argsAfterCut:
      (args?.at(-1)?.length ?? 0) > LONGEST_OPTION_CHARACTERS
        ? restOfArguments(bytes, headEnd, argsEnd)
        : null,
    ancestors,
    ancestorsCut: (flags & ANCESTORS_CUT) !== 0,
  };
}

/** Returns the offset of the first ancestor at or behind `from`: each begins at a multiple of 8 of the data. */
export function ancestorsBegin(from: number): number {
  return OWNER_HEAD_BYTES + ((from - OWNER_HEAD_BYTES + 7) & ~7);
}

/** Decodes `count` ancestors of an owner's record; returns null if they do not fit. */
export function ancestorRecords(
  bytes: Buffer,
  from: number,
  end: number,
  count: number,
): RecordedProcess[] | null {
  const ancestors: RecordedProcess[] = [];
  let at = from;
  for (let i = 0; i < count; i++) {
    at = ancestorsBegin(at);
    const body = at + ANCESTOR_HEAD_BYTES;
    if (body > end) return null;
    const executableEnd = body + bytes.readUInt16LE(at + ANCESTOR_LAYOUT.executable_bytes);
    const bodyEnd = executableEnd + bytes.readUInt16LE(at + ANCESTOR_LAYOUT.args_bytes);
    if (bodyEnd > end) return null;
    const flags = bytes.readUInt16LE(at + ANCESTOR_LAYOUT.flags);
    const executableCut = (flags & EXECUTABLE_CUT) !== 0;
    const isWhole = bodyEnd > executableEnd && (flags & ARGS_CUT) === 0;
    ancestors.push({
      pid: bytes.readUInt32LE(at + ANCESTOR_LAYOUT.tgid),
      startTicks: ticksAt(bytes, at + ANCESTOR_LAYOUT.start_boottime_ns),
      name: commText(bytes, at + ANCESTOR_LAYOUT.comm),
      executable: executableCut ? null : pathOf(bytes, body, executableEnd),
      executableCut,
      args: isWhole ? argumentList(bytes, executableEnd, bodyEnd) : null,
    });
    at = bodyEnd;
  }
  return ancestors;
}

/** Converts nanoseconds since boot (suspended time included) to field 22 of /proc/PID/stat (do_task_stat). */
function ticksAt(bytes: Buffer, offset: number): number {
  return Number(bytes.readBigUInt64LE(offset) / NANOSECONDS_PER_TICK);
}

function commText(bytes: Buffer, offset: number): string {
  let end = offset;
  while (end < offset + COMM_BYTES && bytes[end] !== 0) end++;
  return bytes.toString('utf8', offset, end);
}

function argumentList(bytes: Buffer, from: number, to: number): string[] {
  if (from === to) return [];
  return parseCommandLine(bytes.subarray(from, to)) ?? [];
}

/** Returns the arguments behind the one that was cut; null without any. A last one that is cut is left out. */
function restOfArguments(bytes: Buffer, from: number, to: number): string[] | null {
  const rest = argumentList(bytes, from, to);
  const known = bytes[to - 1] === 0 ? rest : rest.slice(0, -1);
  return known.length === 0 ? null : known;
}

/**
 * Returns the path of which the components stand innermost first, each ended by NUL. Null without components:
 * the executable of a kernel thread or of a process that is ending, or the root directory.
 */
function pathOf(bytes: Buffer, from: number, to: number): string | null {
  if (from === to) return null;
  const end = bytes[to - 1] === 0 ? to - 1 : to;
  return `/${bytes.toString('utf8', from, end).split('\0').reverse().join('/')}`;
}

/**
 * Returns the paths of which the names stand innermost first, each name ended by NUL and each path by one
 * more.
 */
function cgroupPathList(bytes: Buffer, from: number, to: number): string[] | null {
  if (to - from < 2) return null;
  const paths = bytes.toString('utf8', from, to - 2).split('\0\0');
  return [...new Set(paths.map((path) => `/${path.split('\0').reverse().join('/')}`))];
}
