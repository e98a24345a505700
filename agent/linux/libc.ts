/** The few calls of the C library that capturing needs and Node does not offer. */
import { readdirSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';

type Koffi = typeof import('koffi');
let library:
  | {
      errno(): number;
      interfaceIndex(name: string): number;
      getsockopt(...args: unknown[]): number;
      setns(fd: number, type: number): number;
      clockGettime(clock: number, time: Buffer): number;
    }
  | undefined;

function libc() {
  if (library === undefined) {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const c = koffi.load('libc.so.6');
    library = {
      errno: () => koffi.errno(),
      setns: c.func('int setns(int fd, int nstype)'),
      clockGettime: c.func('int clock_gettime(int clock, _Out_ uint8_t *time)'),
      interfaceIndex: c.func('unsigned int if_nametoindex(const char *name)'),
      getsockopt: c.func(
        'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)',
      ),
    };
  }
  return library;
}

/** Index of a network interface in this thread's network namespace; 0 when there is none of that name. */
export function interfaceIndex(name: string): number {
  return libc().interfaceIndex(name);
}

const CLONE_NEWNET = 0x40000000;
const EPERM = 1;

/** Takes this thread into the network namespace that `fd` refers to (setns(2)). Throws when it may not. */
export function setNetworkNamespace(fd: number): void {
  if (libc().setns(fd, CLONE_NEWNET) === 0) return;
  const errno = libc().errno();
  const why = errno === EPERM ? 'CAP_SYS_ADMIN is missing' : `errno ${errno}`;
  throw new Error(`the network namespace cannot be entered: ${why}`);
}

// linux/if_packet.h
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;

/**
 * Packets that passed the filter of a packet socket, and those of them that its ring had no room for, since the last
 * call (the kernel starts again from zero). Null when `fd` is no packet socket.
 */
export function packetStatistics(fd: number): { packets: number; drops: number } | null {
  const value = Buffer.alloc(12); // struct tpacket_stats, or tpacket_stats_v3 with one number more
  const length = [value.length];
  if (libc().getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, value, length) !== 0) return null;
  return { packets: value.readUInt32LE(0), drops: value.readUInt32LE(4) };
}

/** Descriptors of this process that are sockets. */
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
const CLOCK_BOOTTIME = 7;
const timespec = Buffer.alloc(16);

function readClockUs(clock: number): number {
  if (libc().clockGettime(clock, timespec) !== 0) throw new Error(`the clock ${clock} cannot be read`);
  return (
    Number(timespec.readBigInt64LE(0)) * 1_000_000 + Math.floor(Number(timespec.readBigInt64LE(8)) / 1_000)
  );
}

/** Microseconds since the host was started, suspended or not. Nobody can set this clock. */
export function bootClockUs(): number {
  return readClockUs(CLOCK_BOOTTIME);
}

/** Microseconds since 1970, at once. See `wallClockUs` for times of packets. */
export function realClockUs(): number {
  return readClockUs(CLOCK_REALTIME);
}
