/**
 * Receives the kernel's process events: which process began, ran another program, or ended. The kernel delivers them
 * in the initial network namespace only, to processes of the initial pid and user namespaces. Older kernels ask for
 * CAP_NET_ADMIN (drivers/connector/cn_proc.c, cn_proc_mcast_ctl); 6.18 does not.
 */
import { statSync } from 'node:fs';
import { errnoName, errnoNumber, lastErrno, libc } from './libc.ts';
import { joinGroups, MSG_DONTWAIT, NetlinkRefused, openNetlink } from './netlink_socket.ts';
import { NamespaceListing, withinNamespace } from './network_namespaces.ts';
import { decodeProcessEvent, encodeListen, PROCESS_GROUP, type ProcessEvent } from './process_event.ts';

const PURPOSE = 'process events';
const MESSAGE_BYTES = 4096;
/** Some 5,000 events: a message of 76 bytes takes about 800 of the kernel's. */
const QUEUE_BYTES = 4 * 1024 * 1024;
/** Other listeners may have events delivered already. */
const MAX_EVENTS_BEFORE_ANSWER = 4096;
/** Inode number of the initial pid namespace (PROC_PID_INIT_INO in include/linux/proc_ns.h). */
const INITIAL_PID_NAMESPACE_INODE = 0xeffffffc;
/** Bound on the namespaces that are tried. */
const MAX_NAMESPACES = 64;

// asm-generic/socket.h; the same on x86-64 and arm64
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;

const EINTR = errnoNumber('EINTR', 4);
const ECONNREFUSED = errnoNumber('ECONNREFUSED', 111);
const ENOBUFS = errnoNumber('ENOBUFS', 105);

export class ProcessEventSocket {
  readonly descriptor: number;
  readonly #message = Buffer.alloc(MESSAGE_BYTES);
  #overruns = 0;

  private constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /**
   * Begins to receive. Where this thread is not in the initial network namespace, the socket is opened there.
   * @throws NetlinkRefused when the kernel delivers no events to us.
   */
  static open(): ProcessEventSocket {
    // The kernel ignores a request from another pid namespace without an answer.
    if (statSync('/proc/self/ns/pid').ino !== INITIAL_PID_NAMESPACE_INODE) {
      throw new NetlinkRefused('Process events are delivered in the initial pid namespace only');
    }
    const here = ProcessEventSocket.#openHere();
    if (here !== null) return here;
    const others = [...new Set(['/proc/1/ns/net', ...new NamespaceListing().list(false).values()])];
    for (const path of others.slice(0, MAX_NAMESPACES)) {
      let there: ProcessEventSocket | null = null;
      try {
        there = withinNamespace(path, () => ProcessEventSocket.#openHere());
      } catch {
        continue; // the namespace is gone, or must not be entered
      }
      if (there !== null) return there;
    }
    throw new NetlinkRefused(
      'Process events are delivered in the initial network namespace only, which cannot be entered',
    );
  }

  /** Returns null in a network namespace in which no events are delivered. */
  static #openHere(): ProcessEventSocket | null {
    const { close, send, setsockopt } = libc();
    const descriptor = openNetlink('connector', PURPOSE);
    try {
      joinGroups(descriptor, PROCESS_GROUP, 'Process events');
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32LE(QUEUE_BYTES);
      if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, bytes, 4) !== 0) {
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, bytes, 4);
      }
      const request = encodeListen(true);
      if (Number(send(descriptor, request, request.length, MSG_DONTWAIT)) !== request.length) {
        if (lastErrno() === ECONNREFUSED) {
          close(descriptor);
          return null;
        }
        throw new NetlinkRefused(`Process events were refused (${errnoName(lastErrno())})`);
      }
      const opened = new ProcessEventSocket(descriptor);
      opened.#expectAnswer();
      return opened;
    } catch (error) {
      close(descriptor);
      throw error;
    }
  }

  /** Reads the kernel's answer, which stands before all events or between the first of them. */
  #expectAnswer(): void {
    let answer: number | null = null;
    this.read((event) => {
      if (event.kind === 'answer') answer ??= event.errno;
    }, MAX_EVENTS_BEFORE_ANSWER);
    if (answer === 0) return;
    const why = answer === null ? 'no answer' : errnoName(answer);
    throw new NetlinkRefused(`Process events were refused (${why}); they need CAP_NET_ADMIN`);
  }

  /**
   * Calls `handler` for each event that waits, oldest first, but for no more than `maxEvents`. Returns false if events
   * were lost since the last call: the queue was full.
   */
  read(handler: (event: ProcessEvent) => void, maxEvents: number): boolean {
    const { recv } = libc();
    let isComplete = true;
    for (let events = 0; events < maxEvents; ) {
      const got = Number(recv(this.descriptor, this.#message, MESSAGE_BYTES, MSG_DONTWAIT));
      if (got >= 0) {
        events++;
        const event = decodeProcessEvent(this.#message.subarray(0, got));
        if (event !== null) handler(event);
        continue;
      }
      const errno = lastErrno();
      if (errno === ENOBUFS) {
        this.#overruns++;
        isComplete = false;
      } else if (errno !== EINTR) break;
    }
    return isComplete;
  }

  /** Returns how often the queue was full. The kernel does not say how many events were lost each time. */
  get overruns(): number {
    return this.#overruns;
  }

  close(): void {
    const { close, send } = libc();
    const request = encodeListen(false);
    send(this.descriptor, request, request.length, MSG_DONTWAIT);
    close(this.descriptor);
  }
}
