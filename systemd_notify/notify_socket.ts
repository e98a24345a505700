/**
 * Sends datagrams to the service manager's socket. Node has no Unix datagram sockets. `systemd-notify` would
 * be a new process for every message (24 ms each), and the unit would have to trust every process in it. So
 * this file calls the C library, which is loaded only under a service manager.
 */
import { cLibrary, loadedKoffi } from '../common/c_library.ts';

/** Sends one datagram. Returns null on success, otherwise the reason of the failure. */
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
 * Returns the `struct sockaddr_un` for a value of NOTIFY_SOCKET (sd_notify(3)). The value is an absolute
 * path, or a name in the abstract namespace with `@` for its leading NUL byte. Returns null for other values
 * (`vsock:` is for the first process of a virtual machine).
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
  // The field has the byte order of the machine; x86-64 and arm64 are both little-endian.
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, terminated]);
}

/** Opens a socket to the service manager. Throws an error that gives the reason when it cannot be opened. */
export function openNotifySocket(notifySocket: string): SendDatagram {
  const address = unixSocketAddress(notifySocket);
  if (address === null)
    throw new Error(`NOTIFY_SOCKET is "${notifySocket}", which is not the address of a Unix socket`);
  const koffi = loadedKoffi();
  const c = cLibrary();
  const socket = c.func('int socket(int domain, int type, int protocol)');
  const sendto = c.func(
    'long sendto(int fd, const uint8_t *bytes, size_t size, int flags, const uint8_t *address, uint32_t length)',
  );
  // The socket does not block: a service must not hang because its service manager does not read.
  const fd: number = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw new Error(`a Unix socket could not be opened: errno ${koffi.errno()}`);
  return (text) => {
    const bytes = Buffer.from(text, 'utf8');
    const sent = Number(sendto(fd, bytes, bytes.length, MSG_NOSIGNAL, address, address.length));
    return sent === bytes.length ? null : `errno ${koffi.errno()}`;
  };
}
