/** The few calls of the C library that capturing needs and Node does not offer. */
import { readdirSync, readlinkSync } from 'node:fs';
import { createRequire } from 'node:module';

type Koffi = typeof import('koffi');
let library: { interfaceIndex(name: string): number; getsockopt(...args: unknown[]): number } | undefined;

function libc() {
  if (library === undefined) {
    const koffi = createRequire(import.meta.url)('koffi') as Koffi;
    const c = koffi.load('libc.so.6');
    library = {
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
