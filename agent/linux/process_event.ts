/**
 * Messages of the kernel's process connector (CN_PROC), as bytes. Sources: include/uapi/linux/netlink.h, connector.h
 * and cn_proc.h; drivers/connector/cn_proc.c. Numbers are in the host's order (little-endian on both supported
 * machines).
 */

const NLMSG_HEADER_BYTES = 16;
const NLMSG_DONE = 3;
const CONNECTOR_HEADER_BYTES = 20;
const EVENT_HEADER_BYTES = 16;
const CN_IDX_PROC = 1;
const CN_VAL_PROC = 1;
const PROC_CN_MCAST_LISTEN = 1;
const PROC_CN_MCAST_IGNORE = 2;

/** `enum what` of struct proc_event. */
const EVENT_NONE = 0;
const EVENT_FORK = 0x1;
const EVENT_EXEC = 0x2;
const EVENT_UID = 0x4;
const EVENT_EXIT = 0x80000000;

/** The multicast group of the process connector, as a bit of `sockaddr_nl.nl_groups`. */
export const PROCESS_GROUP = 1 << (CN_IDX_PROC - 1);

/** `timeNs` is the kernel's monotonic clock. Events of single threads are left out. */
export type ProcessEvent =
  /** The kernel's answer to a request: 0, or an errno as a positive number. */
  | { kind: 'answer'; errno: number }
  | { kind: 'fork'; pid: number; parentPid: number; timeNs: bigint }
  /** `path`: what execve(2) got, where it is reported: perhaps a symbolic link or a script. */
  | { kind: 'exec'; pid: number; timeNs: bigint; path?: string }
  | { kind: 'uid'; pid: number; uid: number; timeNs: bigint }
  | { kind: 'exit'; pid: number; timeNs: bigint };

/** Returns the request that begins or ends the delivery of events to the group. */
export function encodeListen(listen: boolean): Buffer {
  const message = Buffer.alloc(NLMSG_HEADER_BYTES + CONNECTOR_HEADER_BYTES + 4);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt16LE(NLMSG_DONE, 4);
  message.writeUInt32LE(CN_IDX_PROC, NLMSG_HEADER_BYTES);
  message.writeUInt32LE(CN_VAL_PROC, NLMSG_HEADER_BYTES + 4);
  message.writeUInt16LE(4, NLMSG_HEADER_BYTES + 16);
  message.writeUInt32LE(
    listen ? PROC_CN_MCAST_LISTEN : PROC_CN_MCAST_IGNORE,
    NLMSG_HEADER_BYTES + CONNECTOR_HEADER_BYTES,
  );
  return message;
}

/** Returns the event in one message; null for bytes that are none, for other events and for those of threads. */
export function decodeProcessEvent(bytes: Buffer): ProcessEvent | null {
  const at = NLMSG_HEADER_BYTES + CONNECTOR_HEADER_BYTES;
  const data = at + EVENT_HEADER_BYTES;
  if (bytes.length < data + 8 || bytes.readUInt32LE(0) > bytes.length) return null;
  const isProcess =
    bytes.readUInt32LE(NLMSG_HEADER_BYTES) === CN_IDX_PROC &&
    bytes.readUInt32LE(NLMSG_HEADER_BYTES + 4) === CN_VAL_PROC;
  if (!isProcess) return null;
  const what = bytes.readUInt32LE(at);
  const timeNs = bytes.readBigUInt64LE(at + 8);
  const [first, second] = [bytes.readUInt32LE(data), bytes.readUInt32LE(data + 4)];
  if (what === EVENT_NONE) return { kind: 'answer', errno: first };
  if (what === EVENT_FORK) {
    // parent_pid, parent_tgid, child_pid, child_tgid: a new thread has the tgid of its process.
    if (bytes.length < data + 16) return null;
    const pid = bytes.readUInt32LE(data + 8);
    if (pid !== bytes.readUInt32LE(data + 12)) return null;
    return { kind: 'fork', pid, parentPid: second, timeNs };
  }
  if (what === EVENT_EXEC) return { kind: 'exec', pid: second, timeNs };
  if (what === EVENT_UID) {
    // process_pid, process_tgid, ruid, euid
    if (bytes.length < data + 16 || first !== second) return null;
    return { kind: 'uid', pid: first, uid: bytes.readUInt32LE(data + 12), timeNs };
  }
  if (what === EVENT_EXIT) return first === second ? { kind: 'exit', pid: first, timeNs } : null;
  return null;
}
