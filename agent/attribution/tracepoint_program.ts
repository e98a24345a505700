/**
 * Makes the program that records who connects where the kernel has no type information or no ring buffer: an ordinary
 * program on the tracepoint sock:inet_sock_set_state (since Linux 4.16). The kernel's own description of the tracepoint
 * gives the offsets, so the instructions are made for the kernel that runs them. Pure: values in, bytes out.
 *
 * The tracepoint is the one of bpf/imds_connect.bpf.c, and so is the idea: a socket enters SYN_SENT in its caller's own
 * context, and becomes ESTABLISHED, or ends, in anybody's. This program sees only what the tracepoint and helpers
 * report: no arguments, executable, parents, sequence number and network namespace.
 */
import { IMDS_PORT } from '../../protocol/endpoints.ts';
import { Assembler, HELPERS, type Register, STACK } from '../linux/bpf_instructions.ts';
import type { TracepointFormat } from '../linux/tracepoint_format.ts';

export const TRACEPOINT = 'sock/inet_sock_set_state';

/** include/net/tcp_states.h. They are the kinds of records, too, and the keys of the map of lost records. */
export const STATES = { established: 1, begun: 2, closed: 7 } as const;
export const LOST_ENTRIES = 8;

const IPPROTO_TCP = 6;
/** BPF_F_CURRENT_CPU. */
const CURRENT_CPU = 0xffffffff;

/** Byte offsets in a record. Addresses are in network order, everything else in the host's. */
export const RECORD_LAYOUT = {
  state: 0,
  old_state: 4,
  socket: 8,
  time_ns: 16,
  /** The thread in the lower half, the process in the upper half. These four are set in `begun` only. */
  pid_tgid: 24,
  uid_gid: 32,
  cgroup_id: 40,
  comm: 48,
  local_address: 64,
  remote_address: 80,
  local_port: 96,
  remote_port: 98,
} as const;
export const RECORD_BYTES = 104;
const COMM_BYTES = 16;
const ADDRESS_BYTES = 16;

/** Places on the stack, from its end. */
const RECORD_AT = -RECORD_BYTES;
const KEY_AT = RECORD_AT - 8;

/** The registers that helpers leave alone. */
const CONTEXT: Register = 6;
const STATE: Register = 7;

export interface TracepointMaps {
  /** Descriptor of the perf event array that takes the records. */
  records: number;
  /** Descriptor of the array that counts the records that were lost, by state. */
  lost: number;
}

/** The kernel's tracepoint has another form than this program understands. */
export class UnknownTracepoint extends Error {}

/**
 * Returns the instructions.
 * @param endpoints addresses of 16 bytes to report on; an IPv4 address is mapped (::ffff:a.b.c.d).
 * @param hasCgroupId the kernel has the helper for the caller's cgroup (Linux 4.18).
 * @throws UnknownTracepoint when a field is missing, or has an unknown size.
 */
export function tracepointProgram(
  format: TracepointFormat,
  endpoints: readonly Buffer[],
  maps: TracepointMaps,
  hasCgroupId: boolean,
): Buffer {
  const field = (name: string, ...sizes: number[]) => {
    const found = format.fields.get(name);
    if (found === undefined) throw new UnknownTracepoint(`it has no field "${name}"`);
    if (!sizes.includes(found.size) || found.offset % Math.min(found.size, 4) !== 0) {
      throw new UnknownTracepoint(`its field "${name}" has ${found.size} bytes at ${found.offset}`);
    }
    return found;
  };
  // The protocol had 8 bits before Linux 5.6.
  const [protocol, remotePort] = [field('protocol', 1, 2), field('dport', 2)];
  const [oldState, newState] = [field('oldstate', 4), field('newstate', 4)];
  const [socket, localPort] = [field('skaddr', 8), field('sport', 2)];
  // These have IPv4 addresses, too, as mapped ones (include/trace/events/sock.h).
  const [local, remote] = [field('saddr_v6', ADDRESS_BYTES), field('daddr_v6', ADDRESS_BYTES)];

  const program = new Assembler();
  const at = (name: keyof typeof RECORD_LAYOUT) => RECORD_AT + RECORD_LAYOUT[name];
  program.move(CONTEXT, 1);
  program.load(protocol.size, 0, CONTEXT, protocol.offset).jumpUnlessEqual(0, IPPROTO_TCP, 'end');
  program.load(2, 0, CONTEXT, remotePort.offset).jumpUnlessEqual(0, IMDS_PORT, 'end');
  program.load(4, STATE, CONTEXT, newState.offset);
  for (const state of Object.values(STATES)) program.jumpIfEqual(STATE, state, 'address');
  program.jump('end').label('address');
  for (const [i, endpoint] of endpoints.entries()) {
    for (let word = 0; word < ADDRESS_BYTES; word += 4) {
      program.load(4, 0, CONTEXT, remote.offset + word).set(1, endpoint.readUInt32LE(word));
      program.jumpUnlessEqual(0, { register: 1 }, `other than ${i}`);
    }
    program.jump('record').label(`other than ${i}`);
  }
  program.jump('end').label('record');

  for (let word = 0; word < RECORD_BYTES; word += 8) program.storeNumber(8, STACK, RECORD_AT + word, 0);
  program.store(4, STACK, at('state'), STATE);
  const copy = (to: number, bytes: number, offset: number) =>
    program.load(bytes, 0, CONTEXT, offset).store(bytes, STACK, to, 0);
  copy(at('old_state'), 4, oldState.offset);
  copy(at('socket'), 8, socket.offset);
  copy(at('local_port'), 2, localPort.offset);
  copy(at('remote_port'), 2, remotePort.offset);
  for (let word = 0; word < ADDRESS_BYTES; word += 4) {
    copy(at('local_address') + word, 4, local.offset + word);
    copy(at('remote_address') + word, 4, remote.offset + word);
  }
  program.call(HELPERS.ktime_get_ns).store(8, STACK, at('time_ns'), 0);
  // Only at the beginning is the current process the caller.
  program.jumpUnlessEqual(STATE, STATES.begun, 'output');
  program.call(HELPERS.get_current_pid_tgid).store(8, STACK, at('pid_tgid'), 0);
  program.call(HELPERS.get_current_uid_gid).store(8, STACK, at('uid_gid'), 0);
  if (hasCgroupId) program.call(HELPERS.get_current_cgroup_id).store(8, STACK, at('cgroup_id'), 0);
  program.move(1, STACK).add(1, at('comm')).setSigned(2, COMM_BYTES).call(HELPERS.get_current_comm);

  program.label('output').move(1, CONTEXT).setMap(2, maps.records).set(3, CURRENT_CPU);
  program.move(4, STACK).add(4, RECORD_AT).setSigned(5, RECORD_BYTES).call(HELPERS.perf_event_output);
  program.jumpIfEqual(0, 0, 'end');
  program.store(4, STACK, KEY_AT, STATE);
  program.setMap(1, maps.lost).move(2, STACK).add(2, KEY_AT).call(HELPERS.map_lookup_elem);
  program.jumpIfEqual(0, 0, 'end').setSigned(1, 1).addAtomically(0, 0, 1);
  // With a result of 0 the kernel writes no samples of the tracepoint for anybody, another agent or `perf` among them
  // (kernel/events/core.c, perf_trace_run_bpf_submit).
  return program.label('end').setSigned(0, 1).exit().bytes();
}
