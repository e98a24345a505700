/**
 * A NETLINK_SOCK_DIAG socket. It belongs to the network namespace in which its thread was when it was opened,
 * and answers for sockets of that namespace only.
 */
import { networkInterfaces } from 'node:os';
import type { Counters } from '../../protocol/records.ts';
import { errnoName, errnoNumber, lastErrno, libc } from './libc.ts';
import {
  AF_INET,
  AF_INET6,
  addressBytes,
  type DiagAnswer,
  decodeAnswer,
  encodeProbe,
  encodeRequest,
  REQUEST_BYTES,
  type SocketId,
  TCP_LISTEN,
} from './netlink_inet_diag.ts';
import { MSG_DONTWAIT, NetlinkRefused, openNetlink } from './netlink_socket.ts';

const ANSWER_BUFFER_BYTES = 8192;
/** Bound on late answers and interrupted calls during one look-up. */
const MAX_ATTEMPTS = 8;
/** Shortest time between two readings of the interface list, in milliseconds. */
const INTERFACES_TTL_MS = 5000;

const EINTR = errnoNumber('EINTR', 4);
const ENOENT = errnoNumber('ENOENT', 2);
const ENOBUFS = errnoNumber('ENOBUFS', 105);

const { close, ifNameToIndex, recv, send } = libc();

export interface FoundSocket {
  uid: number;
  /** 0 when no process holds it any more (TIME_WAIT, orphaned). */
  inode: number;
  /** include/net/tcp_states.h. */
  state: number;
}

export class SockDiagSocket {
  readonly #descriptor: number;
  readonly #request = Buffer.alloc(REQUEST_BYTES);
  readonly #answer = Buffer.alloc(ANSWER_BUFFER_BYTES);
  #sequence = 0;
  /** Interface indices by the addresses that they hold (hex). */
  #indices = new Map<string, number[]>();
  #indicesReadAt = Number.NEGATIVE_INFINITY;
  #errors = 0;
  #interrupted = 0;
  #overruns = 0;
  #unanswered = 0;
  #strangers = 0;
  #foundByInterface = 0;

  private constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** @throws NetlinkRefused when the socket is refused or the kernel has no `tcp_diag`. */
  static open(): SockDiagSocket {
    const opened = new SockDiagSocket(openNetlink('sockDiag', 'sock_diag'));
    encodeProbe(opened.#request, ++opened.#sequence);
    const answer = opened.#exchange(NO_SOCKET);
    if (answer?.kind !== 'done') {
      opened.close();
      const why = answer?.kind === 'error' ? errnoName(answer.errno) : 'no answer';
      throw new NetlinkRefused(
        `The kernel does not answer sock_diag questions about TCP (${why}); it needs the modules inet_diag and tcp_diag`,
      );
    }
    return opened;
  }

  /**
   * Returns the connected socket with exactly this tuple, in any state from SYN_SENT on, or null when there
   * is none.
   */
  find(id: SocketId): FoundSocket | null {
    const isIpv4 = id.localAddress.length === 4;
    const direct = isIpv4
      ? (this.#ask(AF_INET, id, 0) ?? this.#ask(AF_INET6, id, 0))
      : this.#ask(AF_INET6, id, 0);
    if (direct) return direct;
    // There is none, or it is bound to an interface that has its address (SO_BINDTODEVICE, `curl
    // --interface`).
    for (const index of this.#interfacesOf(id.localAddress)) {
      const bound = this.#ask(isIpv4 ? AF_INET : AF_INET6, id, index);
      if (bound) {
        this.#foundByInterface++;
        return bound;
      }
    }
    return null;
  }

  /**
   * Returns the socket that takes new connections to an address and port of this namespace, or null. The
   * kernel's look-up is the one of a SYN: a socket that listens on all addresses is found, too.
   */
  findListener(localAddress: Uint8Array, localPort: number): FoundSocket | null {
    const id = { localAddress, localPort, remoteAddress: new Uint8Array(localAddress.length), remotePort: 0 };
    encodeRequest(this.#request, ++this.#sequence, localAddress.length === 4 ? AF_INET : AF_INET6, id, 0);
    const answer = this.#exchange(id);
    return answer?.kind === 'socket' && answer.state === TCP_LISTEN ? answer : null;
  }

  #ask(family: number, id: SocketId, interfaceIndex: number): FoundSocket | null {
    encodeRequest(this.#request, ++this.#sequence, family, id, interfaceIndex);
    const answer = this.#exchange(id);
    if (answer === null || answer.kind === 'done') return null;
    if (answer.kind === 'error') {
      if (answer.errno !== ENOENT) this.#errors++;
      return null;
    }
    if (!answer.exact) {
      this.#strangers++;
      return null;
    }
    return answer;
  }

  /** Sends the request and reads its answer, which the kernel queues before `send` returns. */
  #exchange(id: SocketId): DiagAnswer | null {
    if (!this.#send()) return null;
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const got = Number(recv(this.#descriptor, this.#answer, ANSWER_BUFFER_BYTES, MSG_DONTWAIT));
      if (got >= 0) {
        const answer = decodeAnswer(this.#answer.subarray(0, got), this.#sequence, id);
        if (answer) return answer;
        continue;
      }
      const failed = lastErrno();
      if (failed === EINTR) this.#interrupted++;
      else if (failed === ENOBUFS) {
        // The queue overflowed and the answer may be the message that was dropped, so the request is sent
        // again.
        this.#overruns++;
        if (!this.#send()) return null;
      } else {
        this.#unanswered++;
        return null;
      }
    }
    this.#unanswered++;
    return null;
  }

  #send(): boolean {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      if (Number(send(this.#descriptor, this.#request, REQUEST_BYTES, MSG_DONTWAIT)) === REQUEST_BYTES)
        return true;
      if (lastErrno() !== EINTR) break;
      this.#interrupted++;
    }
    this.#errors++;
    return false;
  }

  /** Returns whether an interface of this process's network namespace has an address, by a list that may be seconds old. */
  hasAddress(address: Uint8Array): boolean {
    return this.#interfacesOf(address).length > 0;
  }

  #interfacesOf(address: Uint8Array): number[] {
    const now = performance.now();
    if (now - this.#indicesReadAt > INTERFACES_TTL_MS) {
      this.#indicesReadAt = now;
      this.#indices.clear();
      for (const [name, addresses] of Object.entries(networkInterfaces())) {
        const index = ifNameToIndex(name) as number;
        for (const each of index > 0 ? (addresses ?? []) : []) {
          const key = Buffer.from(addressBytes(each.address) ?? []).toString('hex');
          this.#indices.set(key, [...(this.#indices.get(key) ?? []), index]);
        }
      }
    }
    return this.#indices.get(Buffer.from(address).toString('hex')) ?? [];
  }

  counters(): Counters {
    return {
      netlink_errors: this.#errors,
      netlink_interrupted: this.#interrupted,
      netlink_overruns: this.#overruns,
      netlink_unanswered: this.#unanswered,
      /** Answers about another socket than the requested one. */
      netlink_strangers: this.#strangers,
      found_by_interface: this.#foundByInterface,
    };
  }

  close(): void {
    close(this.#descriptor);
  }
}

const NO_SOCKET: SocketId = {
  localAddress: new Uint8Array(4),
  localPort: 0,
  remoteAddress: new Uint8Array(4),
  remotePort: 0,
};
