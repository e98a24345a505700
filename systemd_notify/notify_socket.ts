/**
 * Datagrams to the service manager's socket. Node has no Unix datagram sockets; `systemd-notify` would be a process of
 * its own for every word (24 ms each, and the unit would have to believe any process of its own). So three calls of the
 * C library, by `koffi`, which is loaded only where a service manager listens: 1.9 MB, once.
 */
import { createRequire } from 'node:module';

type Koffi = typeof import('koffi');

/** Sends one datagram. Returns null, or why it could not be sent. */
export type SendDatagram = (text: string) => string | null;

// sys/socket.h on Linux, the same on x86-64 and arm64
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** `sun_path` of `struct sockaddr_un` (unix(7)). */
const MAX_PATH_BYTES = 108;

/**
 * `struct sockaddr_un` for the value of NOTIFY_SOCKET (sd_notify(3)): an absolute path, or a name in the abstract
 * namespace, written with `@` for its leading NUL byte and as long as it is. Null for anything else (`vsock:` is for
 * the first process of a virtual machine).
 */
export function unixSocketAddress(notifySocket: string): Buffer | null {
  const isAbstract = notifySocket.startsWith('@');
  if (!isAbstract && !notifySocket.startsWith('/')) return null;
  const path = Buffer.from(notifySocket, 'utf8');
  if (path.length < 2 || path.includes(0)) return null;
  if (isAbstract) path[0] = 0;
  const terminated = isAbstract ? path : Buffer.concat([path, Buffer.alloc(1)]);
  if (terminated.length > MAX_PATH_BYTES) return null;
  const family = Buffer.alloc(2);
  // In the machine's own order; little-endian on both that we run on.
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, terminated]);
}

/** Opens a socket to send from. Throws an error that says why it cannot be had. */
export function openNotifySocket(notifySocket: string): SendDatagram {
  const address = unixSocketAddress(notifySocket);
  if (address === null) throw new Error(`NOTIFY_SOCKET is "${notifySocket}", which is no Unix socket`);
  const koffi = createRequire(import.meta.url)('koffi') as Koffi;
  const c = koffi.load('libc.so.6');
  const socket = c.func('int socket(int domain, int type, int protocol)');
  const sendto = c.func(
    'long sendto(int fd, const uint8_t *bytes, size_t size, int flags, const uint8_t *address, uint32_t length)',
  );
  // Never waited for: whoever is being supervised has better things to do than to hang on its supervisor.
  const fd: number = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw new Error(`no socket to the service manager: errno ${koffi.errno()}`);
  return (text) => {
    const bytes = Buffer.from(text, 'utf8');
    const sent = Number(sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length));
    return sent === bytes.length ? null : `errno ${koffi.errno()}`;
  };
}
