/** Creates eBPF maps and loads programs by bpf(2) itself (include/uapi/linux/bpf.h): no library is needed. */
import { addressOf, errnoNumber, lastErrno, libc } from './libc.ts';

const SYS_BPF = process.arch === 'arm64' ? 280 : 321;

const BPF_MAP_CREATE = 0;
const BPF_MAP_LOOKUP_ELEM = 1;
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_PROG_LOAD = 5;
const BPF_OBJ_GET_INFO_BY_FD = 15;

/** `enum bpf_map_type`. */
export const MAP_TYPES = { array: 2, perfEventArray: 4 } as const;
const BPF_PROG_TYPE_TRACEPOINT = 5;

const ATTRIBUTE_BYTES = 120;
const LOG_BYTES = 64 * 1024;
const NAME_BYTES = 15;
/** `struct bpf_prog_info`: `recursion_misses`, there since Linux 5.12. */
const PROGRAM_INFO_BYTES = 216;
const RECURSION_MISSES_OFFSET = 208;
/** asm-generic/resource.h. */
const RLIMIT_MEMLOCK = 8;

export const EPERM = errnoNumber('EPERM', 1);

/** The result of a call that the kernel refused: an errno as a positive number. */
export interface Refused {
  errno: number;
  /** Messages of the verifier; empty without any. */
  log: string;
}

export function isRefused<T extends object>(result: T | number | Refused): result is Refused {
  return typeof result === 'object' && 'errno' in result;
}

/** Calls bpf(2); returns its result, or -1 (see `lastErrno`). */
function bpf(command: number, attribute: Buffer): number {
  return Number(libc().bpf(SYS_BPF, command, attribute, attribute.length));
}

/** Creates a map with keys of 4 bytes. Returns its descriptor. */
export function createMap(
  type: keyof typeof MAP_TYPES,
  valueBytes: number,
  entries: number,
): number | Refused {
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  attribute.writeUInt32LE(MAP_TYPES[type], 0);
  attribute.writeUInt32LE(4, 4);
  attribute.writeUInt32LE(valueBytes, 8);
  attribute.writeUInt32LE(entries, 12);
  let descriptor = bpf(BPF_MAP_CREATE, attribute);
  // Before Linux 5.11 maps and programs count against the limit on locked memory, which is mostly 64 KiB.
  if (descriptor < 0 && lastErrno() === EPERM && raiseLockedMemory()) {
    descriptor = bpf(BPF_MAP_CREATE, attribute);
  }
  return descriptor < 0 ? { errno: lastErrno(), log: '' } : descriptor;
}

function raiseLockedMemory(): boolean {
  const unlimited = Buffer.alloc(16, 0xff);
  return libc().setrlimit(RLIMIT_MEMLOCK, unlimited) === 0;
}

/** Sets the value of 4 bytes at a key; returns whether the map took it. */
export function setMapElement(map: number, key: number, value: number): boolean {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(key, 0);
  bytes.writeUInt32LE(value, 4);
  return bpf(BPF_MAP_UPDATE_ELEM, elementAttribute(map, bytes, 4)) === 0;
}

/** Returns the value of 8 bytes at a key. Throws when the map does not have the key. */
export function mapCount(map: number, key: number): number {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt32LE(key, 0);
  if (bpf(BPF_MAP_LOOKUP_ELEM, elementAttribute(map, bytes, 8)) !== 0) {
    throw new Error(`key ${key} of an eBPF map cannot be read (${lastErrno()})`);
  }
  return Number(bytes.readBigUInt64LE(8));
}

/** `bytes` has the key at its begin and the value at `valueAt`. */
function elementAttribute(map: number, bytes: Buffer, valueAt: number): Buffer {
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  attribute.writeUInt32LE(map, 0);
  attribute.writeBigUInt64LE(addressOf(bytes), 8);
  attribute.writeBigUInt64LE(addressOf(bytes) + BigInt(valueAt), 16);
  return attribute;
}

/** Loads a program for tracepoints. Returns its descriptor. */
export function loadTracepointProgram(name: string, instructions: Buffer): number | Refused {
  const license = Buffer.from('GPL\0');
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  attribute.writeUInt32LE(BPF_PROG_TYPE_TRACEPOINT, 0);
  attribute.writeUInt32LE(instructions.length / 8, 4);
  attribute.writeBigUInt64LE(addressOf(instructions), 8);
  attribute.writeBigUInt64LE(addressOf(license), 16);
  attribute.write(name.slice(0, NAME_BYTES), 48, 'latin1');
  let descriptor = bpf(BPF_PROG_LOAD, attribute);
  if (descriptor < 0 && lastErrno() === EPERM && raiseLockedMemory()) {
    descriptor = bpf(BPF_PROG_LOAD, attribute);
  }
  if (descriptor >= 0) return descriptor;
  const errno = lastErrno();
  const log = Buffer.alloc(LOG_BYTES);
  attribute.writeUInt32LE(1, 24);
  attribute.writeUInt32LE(log.length, 28);
  attribute.writeBigUInt64LE(addressOf(log), 32);
  const again = bpf(BPF_PROG_LOAD, attribute);
  if (again >= 0) return again;
  return { errno, log: log.toString('latin1', 0, Math.max(0, log.indexOf(0))).trim() };
}

/**
 * Returns how often a program was skipped because another one was running on that CPU; 0 where the kernel does not
 * count that (before Linux 5.12).
 */
export function recursionMissesOf(program: number): number {
  const info = Buffer.alloc(PROGRAM_INFO_BYTES);
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  attribute.writeUInt32LE(program, 0);
  attribute.writeUInt32LE(info.length, 4);
  attribute.writeBigUInt64LE(addressOf(info), 8);
  if (bpf(BPF_OBJ_GET_INFO_BY_FD, attribute) !== 0) return 0;
  return Number(info.readBigUInt64LE(RECURSION_MISSES_OFFSET));
}
