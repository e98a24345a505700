/** A service manager's end of its socket: what it was told. */
import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';
import { unixSocketAddress } from '../../../systemd_notify/notify_socket.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const MAX_DATAGRAM_BYTES = 4096;

export class ManagerSocket {
  readonly #c = koffi.load('libc.so.6');
  readonly #receive = this.#c.func('long recv(int fd, _Out_ uint8_t *bytes, size_t size, int flags)');
  readonly #fd: number;

  /** `address` as NOTIFY_SOCKET has it. */
  constructor(address: string) {
    const socket = this.#c.func('int socket(int domain, int type, int protocol)');
    const bind = this.#c.func('int bind(int fd, const uint8_t *address, uint32_t length)');
    this.#fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    const bytes = unixSocketAddress(address)!;
    if (bind(this.#fd, bytes, bytes.length) !== 0) throw new Error(`bind: errno ${koffi.errno()}`);
  }

  /** Returns the datagrams that have arrived since the last time. */
  received(): string[] {
    const datagrams: string[] = [];
    for (;;) {
      const bytes = Buffer.alloc(MAX_DATAGRAM_BYTES);
      const length = Number(this.#receive(this.#fd, bytes, bytes.length, MSG_DONTWAIT));
      if (length < 0) return datagrams;
      datagrams.push(bytes.toString('utf8', 0, length));
    }
  }

  /** All until one matches, which is the last. Throws when none does in time. */
  async until(wanted: RegExp, timeoutMs = 30_000): Promise<string[]> {
    const all: string[] = [];
    for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(10)) {
      all.push(...this.received());
      if (all.some((datagram) => wanted.test(datagram))) return all;
    }
    throw new Error(`nothing like ${wanted} in ${JSON.stringify(all)}`);
  }

  close(): void {
    this.#c.func('int close(int fd)')(this.#fd);
  }
}
