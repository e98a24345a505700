/** Binds the functions of the C library that the agent needs: system calls that Node does not offer. */
import { readdirSync, readlinkSync } from 'node:fs';
import { cLibrary, loadedKoffi } from '../../common/c_library.ts';

let functions: ReturnType<typeof bind> | undefined;

/** A pointer of C, as koffi gives it. */
export type Pointer = bigint | null;

function bind() {
  const c = cLibrary();
  return {
    bind: c.func('int bind(int fd, void *address, uint32_t length)'),
    bpf: c.func('syscall', 'long', ['long', 'int', 'void *', 'uint32_t']),
    clockGettime: c.func('int clock_gettime(int clock, _Out_ uint8_t *time)'),
    close: c.func('int close(int fd)'),
    flock: c.func('int flock(int fd, int operation)'),
    fsconfig: c.func('syscall', 'long', ['long', 'int', 'uint32_t', 'void *', 'void *', 'int']),
    fsmount: c.func('syscall', 'long', ['long', 'int', 'uint32_t', 'uint32_t']),
    fsopen: c.func('syscall', 'long', ['long', 'void *', 'uint32_t']),
    getdents64: c.func('syscall', 'long', ['long', 'int', 'void *', 'size_t']),
    getsockopt: c.func(
      'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
    ),
    ifNameToIndex: c.func('unsigned int if_nametoindex(const char *name)'),
    ioctl: c.func('int ioctl(int fd, unsigned long request, unsigned long argument)'),
    ioctlText: c.func('ioctl', 'int', ['int', 'unsigned long', 'void *']),
    lseek: c.func('int64_t lseek(int fd, int64_t offset, int whence)'),
    /** Null where the C library has no such call (musl). */
    mallocTrim: optional(() => c.func('int malloc_trim(size_t keep)')),
    madvise: c.func('int madvise(void *at, size_t size, int advice)'),
    mmap: c.func('void *mmap(void *at, size_t size, int protection, int flags, int fd, int64_t offset)'),
    munmap: c.func('int munmap(void *at, size_t size)'),
    openat: c.func('openat', 'int', ['int', 'void *', 'int']),
    perfEventOpen: c.func('syscall', 'long', ['long', 'void *', 'int', 'int', 'int', 'unsigned long']),
    pidfdOpen: c.func('syscall', 'long', ['long', 'int', 'uint32_t']),
    pread: c.func('intptr_t pread(int fd, void *bytes, size_t length, int64_t offset)'),
    read: c.func('intptr_t read(int fd, void *bytes, size_t length)'),
    readlinkat: c.func('intptr_t readlinkat(int directory, void *path, void *bytes, size_t length)'),
    recv: c.func('intptr_t recv(int fd, void *data, size_t length, int flags)'),
    send: c.func('intptr_t send(int fd, void *data, size_t length, int flags)'),
    setns: c.func('int setns(int fd, int nstype)'),
    setrlimit: c.func('int setrlimit(int resource, void *limit)'),
    setsockopt: c.func('int setsockopt(int fd, int level, int name, void *value, uint32_t length)'),
    socket: c.func('int socket(int domain, int type, int protocol)'),
    statx: c.func('int statx(int directory, void *path, int flags, uint32_t mask, void *result)'),
    sysconf: c.func('long sysconf(int name)'),
    vsnprintf: c.func('int vsnprintf(void *to, size_t size, void *format, void *arguments)'),
  };
}

function optional<T>(find: () => T): T | null {
  try {
    return find();
  } catch {
    return null;
  }
}

/** Returns the functions of the C library. Throws when `koffi` is not installed for this machine. */
export function libc(): ReturnType<typeof bind> {
  functions ??= bind();
  return functions;
}

// sys/mman.h, the same on x86-64 and arm64
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Memory that is shared with the kernel. */
export interface SharedMemory {
  bytes: ArrayBuffer;
  /** Ends the mapping. `bytes` must not be used after that. */
  unmap(): void;
}

/** Maps `length` bytes of a descriptor from `offset` on; null when the kernel refuses it (see `lastErrno`). */
export function mapShared(
  fd: number,
  offset: number,
  length: number,
  { isWritable }: { isWritable: boolean },
): SharedMemory | null {
  const protection = isWritable ? PROT_READ | PROT_WRITE : PROT_READ;
  const at: Pointer = libc().mmap(null, length, protection, MAP_SHARED, fd, offset);
  if (at === null || BigInt.asUintN(64, at) === MAP_FAILED) return null;
  return {
    bytes: loadedKoffi().view(at, length),
    unmap: () => libc().munmap(at, length),
  };
}

/** Returns the address of a buffer's bytes, for structures of the kernel that contain pointers. */
export function addressOf(bytes: Buffer): bigint {
  return loadedKoffi().address(bytes);
}

const SC_PAGESIZE = 30;

/** Returns the size of a page of memory, in bytes. */
export function pageBytes(): number {
  return libc().sysconf(SC_PAGESIZE);
}

/** Returns the number of the last failed call's error. */
export function lastErrno(): number {
  return loadedKoffi().errno();
}

/** Sets the number that `lastErrno` returns, where a call for cleaning up has changed it. */
export function setLastErrno(errno: number): void {
  loadedKoffi().errno(errno);
}

/** Returns the name of an error ("EPERM"), or its number as text where it has no name. */
export function errnoName(errno: number): string {
  const known = Object.entries(loadedKoffi().os.errno).find(([, value]) => value === errno);
  return known ? known[0] : `errno ${errno}`;
}

/** Returns the number of an error by its name. `fallback` is its number on x86-64 and arm64. */
export function errnoNumber(name: string, fallback: number): number {
  return loadedKoffi().os.errno[name] ?? fallback;
}

/**
 * Returns the index of a network interface in this thread's network namespace; 0 when there is none of that
 * name.
 */
export function interfaceIndex(name: string): number {
  return libc().ifNameToIndex(name);
}

const CLONE_NEWNET = 0x40000000;
const EPERM = 1;

/**
 * Moves this thread into the network namespace that `fd` refers to (setns(2)). Throws when that is not
 * permitted.
 */
export function setNetworkNamespace(fd: number): void {
  if (libc().setns(fd, CLONE_NEWNET) === 0) return;
  const errno = lastErrno();
  const why = errno === EPERM ? 'CAP_SYS_ADMIN is missing' : `errno ${errno}`;
  throw new Error(`the network namespace cannot be entered: ${why}`);
}

// linux/if_packet.h
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;

/**
 * Returns how many packets passed the filter of a packet socket since the last call, and how many of them its
 * ring had no room for (the kernel starts again from zero). Returns null when `fd` is no packet socket.
 */
export function packetStatistics(fd: number): { packets: number; drops: number } | null {
  const value = Buffer.alloc(12); // struct tpacket_stats, or tpacket_stats_v3 with one number more
  const length = [value.length];
  if (libc().getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, value, length) !== 0) return null;
  return { packets: value.readUInt32LE(0), drops: value.readUInt32LE(4) };
}

/** Returns the descriptors of this process that are sockets. */
export function socketDescriptors(): Set<number> {
  const sockets = new Set<number>();
  for (const entry of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${entry}`).startsWith('socket:')) sockets.add(Number(entry));
    } catch {
      // The descriptor of this very listing is closed by now.
    }
  }
  return sockets;
}

// linux/time.h
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
/** Two clocks that are read within this time are read at once. */
const QUICK_READING_NS = 20_000;
const CLOCK_BOOTTIME = 7;
const timespec = Buffer.alloc(16);

function readClockUs(clock: number): number {
  if (libc().clockGettime(clock, timespec) !== 0) throw new Error(`the clock ${clock} cannot be read`);
  return (
    Number(timespec.readBigInt64LE(0)) * 1_000_000 + Math.floor(Number(timespec.readBigInt64LE(8)) / 1_000)
  );
}

/** Returns the microseconds since the host was started, suspended or not. Nobody can set this clock. */
export function bootClockUs(): number {
  return readClockUs(CLOCK_BOOTTIME);
}

/**
 * Returns the nanoseconds of the clock by which the kernel times processes and eBPF records (ktime_get_ns). It stands
 * still while the host is suspended.
 */
export function monotonicNs(): bigint {
  return process.hrtime.bigint();
}

/** Returns how far the clock since boot is ahead of `monotonicNs`, in nanoseconds: the time spent suspended. */
export function suspendedNs(): bigint {
  return BigInt(readClockUs(CLOCK_BOOTTIME) - readClockUs(CLOCK_MONOTONIC)) * 1_000n;
}

/**
 * Returns how far the wall clock is ahead of `monotonicNs`, in microseconds. The clocks are read again if another thread
 * ran in between, at most three times.
 */
export function wallAheadUs(): number {
  let [ahead, shortestNs] = [0, Number.POSITIVE_INFINITY];
  for (let tries = 0; tries < 3 && shortestNs > QUICK_READING_NS; tries++) {
    const before = monotonicNs();
    const wallUs = realClockUs();
    const took = Number(monotonicNs() - before);
    if (took < shortestNs) [ahead, shortestNs] = [wallUs - Number(before / 1_000n), took];
  }
  return ahead;
}

/** Returns the microseconds since 1970, as the kernel's time stamps of packets have them. */
export function realClockUs(): number {
  return readClockUs(CLOCK_REALTIME);
}
