// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Records which process connects to a metadata endpoint, at the moment in which it connects.
 *
 * Two programs are attached to the tracepoint sock:inet_sock_set_state as tp_btf (net/ipv4/af_inet.c, since
 * Linux 4.16):
 *
 *   imds_connect_begun   runs when a socket enters SYN_SENT. That happens inside connect() (or a first send
 *                        with TCP Fast Open), in the caller's own context: `current` is the caller, and it
 *                        certainly exists. So everything about it is recorded here. The source port is not
 *                        chosen yet (tcp_v4_connect sets the state before inet_hash_connect).
 *   imds_connect_state   runs when the same socket becomes ESTABLISHED, fails (SYN_SENT to CLOSE) or ends (to
 *                        CLOSE). It may run in a softirq in any process's context, so it records only the
 *                        addresses.
 *
 * User space joins both records by the socket's address. imds_bytes_sending or imds_bytes_sent reports who sends on such
 * a socket, if that is not who used it last. Two more programs, on sched:sched_process_exec
 * and sched:sched_process_fork, remember the arguments with which processes began (execution.bpf.h).
 *
 * There are two programs because, from Linux 6.2 on, a tracing program that is interrupted and entered again on
 * the same CPU is skipped (prog->active, kernel/trace/bpf_trace.c). The first program is long, and a softirq may
 * bring another socket to ESTABLISHED in the middle of it; the second program then still runs. The kernel counts
 * the runs that are skipped all the same (bpf_prog_info.recursion_misses).
 *
 * The programs use nothing younger than Linux 5.8 (ring buffer): no bpf_loop, no dynptr, no bpf_d_path (which
 * tp_btf may not call). This version was loaded, attached and tried on Linux 5.10, 6.1, 6.12 and 6.18 (x86-64).
 * Kernels before 5.11 also need room for the maps in RLIMIT_MEMLOCK.
 */
#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "records.h"
#include "scratch.bpf.h"
#include "endpoints.bpf.h"
#include "caller.bpf.h"
#include "cgroup.bpf.h"

#define RING_BYTES (1024 * 1024)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} records SEC(".maps");

/* The number of records that did not fit into the ring, by their kind. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECORD_KINDS_END);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_lost(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&lost, &kind);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/*
 * User space reads the ring with the packets, which the kernel collects. It is woken up only for what it must read in
 * /proc at once, since the process may be gone when the packets come.
 *
 * This map has the time of the last wake-up for a parent process or a network namespace.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} wake_ups SEC(".maps");

/* User space remembers what it read about a parent for more than twice as long (process_identity.ts). */
#define PARENT_WAKE_UP_NS 4000000000ull
#define NAMESPACE_WAKE_UP_NS 500000000ull

/* Returns the flag for a record that needs a wake-up, unless there was one for the same key a moment ago. */
static __always_inline __u64 wake_up_once(__u64 key, __u64 within_ns)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 *last = bpf_map_lookup_elem(&wake_ups, &key);

	if (last && now - *last < within_ns)
		return BPF_RB_NO_WAKEUP;
	bpf_map_update_elem(&wake_ups, &key, &now, BPF_ANY);
	return BPF_RB_FORCE_WAKEUP;
}

/*
 * A record that lacks something is completed in /proc, and so are parents, whose scripts and older arguments no record
 * has.
 */
static __always_inline __u64 owner_wake_up(struct scratch *scratch, struct task_struct *leader)
{
	struct task_struct *parent = BPF_CORE_READ(leader, real_parent, group_leader);

	if (scratch->head.flags)
		return BPF_RB_FORCE_WAKEUP;
	/* A parent that begins another program gets new memory. */
	return wake_up_once(BPF_CORE_READ(parent, start_boottime) ^ (__u64)BPF_CORE_READ(parent, mm), PARENT_WAKE_UP_NS);
}

/* The network namespace of user space, at key 0. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} own_namespace SEC(".maps");

/* A namespace can be entered only by a process in it, which may end soon. */
static __always_inline __u64 state_wake_up(const struct state_record *record)
{
	__u32 zero = 0, *own = bpf_map_lookup_elem(&own_namespace, &zero);

	if (record->kind != RECORD_ESTABLISHED || !own || *own == record->net_ns)
		return BPF_RB_NO_WAKEUP;
	return wake_up_once(record->net_ns, NAMESPACE_WAKE_UP_NS);
}

/*
 * Records the current process with all that is known about it. The function is global and takes numbers for the same
 * reason as append_executable().
 */
__noinline int record_process(__u64 socket, __u32 kind_and_endpoint, __u32 net_ns, __u32 sequence)
{
	struct task_struct *task, *leader;
	struct scratch *scratch;
	__u32 generation, zero = 0, kind = kind_and_endpoint & 0xffff;
	__u64 offset, end, wake_up;

	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return 0;
	generation = ++*(volatile __u32 *)&scratch->generation;

	task = (struct task_struct *)bpf_get_current_task();
	leader = BPF_CORE_READ(task, group_leader);
	scratch->head.kind = kind;
	scratch->head.endpoint = kind_and_endpoint >> 16;
	scratch->head.net_ns = net_ns;
	scratch->head.socket = socket;
	scratch->head.sequence = sequence;
	scratch->head.reserved = 0;
	scratch->head.start_boottime_ns = BPF_CORE_READ(leader, start_boottime);
	scratch->head.cgroup_id = bpf_get_current_cgroup_id();
	scratch->head.tgid = BPF_CORE_READ(task, tgid);
	scratch->head.tid = BPF_CORE_READ(task, pid);
	scratch->head.euid = BPF_CORE_READ(task, cred, euid.val);
	scratch->head.mount_ns = BPF_CORE_READ(task, nsproxy, mnt_ns, ns.inum);
	record_pid_namespace(&scratch->head, leader);
	scratch->head.flags = 0;
	bpf_core_read(&scratch->head.comm, sizeof(scratch->head.comm), &leader->comm);

	offset = copy_arguments(scratch, BPF_CORE_READ(task, mm));
	scratch->head.args_bytes = offset;
	end = append_executable((__u64)task, offset, offset + EXECUTABLE_MAX_BYTES);
	if (end & PATH_CUT)
		scratch->head.flags |= EXECUTABLE_CUT;
	end = bounded(end);
	scratch->head.executable_bytes = end - offset;
	offset = end;
	end = append_cgroups((__u64)task, offset);
	if (end & PATH_CUT) {
		scratch->head.flags |= CGROUPS_CUT;
		end = offset;
	}
	end = bounded(end);
	scratch->head.cgroups_bytes = end - offset;
	offset = end;
	end = append_working_directory((__u64)task, offset, offset + WORKING_DIRECTORY_MAX_BYTES);
	if (end & PATH_CUT) {
		scratch->head.flags |= WORKING_DIRECTORY_CUT;
		end = offset;
	}
	end = bounded(end);
	scratch->head.working_directory_bytes = end - offset;
	end = bounded(append_ancestors(scratch, task, end));
	scratch->head.data_bytes = end;
	wake_up = owner_wake_up(scratch, leader);
	if (wake_up == BPF_RB_FORCE_WAKEUP)
		scratch->head.flags |= URGENT;
	/*
	 * A tracing program may be interrupted by a process that runs another one here (from Linux 5.12 on, fentry): then
	 * the record is partly about that process.
	 */
	if (*(volatile __u32 *)&scratch->generation != generation ||
	    bpf_ringbuf_output(&records, scratch, sizeof(scratch->head) + end, wake_up))
		count_lost(kind);
	return 0;
}

/* The process that used a socket last: at first the one that connected. */
struct socket_user {
	__u64 start_boottime_ns;
	/* The address of its memory: a program that the process began later is another user. */
	__u64 memory;
	__u32 tgid;
	__u32 reserved;
};

#define SOCKETS_MAX 8192

/* By the socket's address. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKETS_MAX);
	__type(key, __u64);
	__type(value, struct socket_user);
} socket_users SEC(".maps");

/* Returns the address of the socket that a program gets first, as a number, which record_process() takes. */
static __always_inline __u64 socket_address(__u64 *context)
{
	__u64 address = 0;

	bpf_probe_read_kernel(&address, sizeof(address), context);
	return address;
}

/* Makes the current process the user of a socket. Returns whether it was not before. */
static __always_inline int changes_user(__u64 socket)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct socket_user user, *last = bpf_map_lookup_elem(&socket_users, &socket);

	user.start_boottime_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	user.memory = (__u64)BPF_CORE_READ(task, mm);
	user.tgid = BPF_CORE_READ(task, tgid);
	user.reserved = 0;
	if (last && last->start_boottime_ns == user.start_boottime_ns && last->memory == user.memory &&
	    last->tgid == user.tgid)
		return 0;
	bpf_map_update_elem(&socket_users, &socket, &user, BPF_ANY);
	return 1;
}

SEC("tp_btf/inet_sock_set_state")
int imds_connect_begun(__u64 *context)
{
	const struct sock *sk = (const struct sock *)context[0];
	__u32 endpoint;
	__u64 socket;

	if ((int)context[2] != TCP_SYN_SENT)
		return 0;
	endpoint = watched_endpoint(sk);
	if (endpoint == ENDPOINT_NONE)
		return 0;
	socket = socket_address(context);
	changes_user(socket);
	record_process(socket, RECORD_OWNER | endpoint << 16, sk->__sk_common.skc_net.net->ns.inum, 0);
	return 0;
}

/*
 * Records the current process if it is not the one that used the socket before: the socket was handed on. `ahead` is
 * the number of bytes by which the socket's next sequence number is ahead of what the process sends.
 */
static __always_inline void record_sender(__u64 *context, __u32 ahead)
{
	const struct sock *sk = (const struct sock *)context[0];
	__u32 sequence, endpoint = watched_endpoint(sk);
	struct task_struct *task;
	__u64 socket;

	if (endpoint == ENDPOINT_NONE)
		return;
	task = (struct task_struct *)bpf_get_current_task();
	/* Before Linux 5.12 a kernel thread sends what a process gave to io_uring. */
	if (BPF_CORE_READ(task, flags) & PF_KTHREAD)
		return;
	socket = socket_address(context);
	if (!changes_user(socket))
		return;
	sequence = BPF_CORE_READ((const struct tcp_sock *)sk, write_seq) - ahead;
	record_process(socket, RECORD_SENDER | endpoint << 16, sk->__sk_common.skc_net.net->ns.inum, sequence);
}

/*
 * One of the next two programs is loaded, the first one where the kernel allows it (x86-64; arm64 from Linux 6.4 on).
 * It runs under the socket's lock, before the bytes are sent (net/ipv4/tcp.c).
 */
SEC("?fentry/tcp_sendmsg_locked")
int imds_bytes_sending(__u64 *context)
{
	record_sender(context, 0);
	return 0;
}

/* This one runs when the bytes are sent (net/socket.c, since Linux 6.3). */
SEC("?tp_btf/sock_send_length")
int imds_bytes_sent(__u64 *context)
{
	int sent = (int)context[1];

	if (sent > 0)
		record_sender(context, sent);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int imds_program_begun(__u64 *context)
{
	/* exec_binprm() calls this in the context of the process, when its new memory is in place. */
	record_execution();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int imds_process_forked(__u64 *context)
{
	copy_execution((struct task_struct *)context[0], (struct task_struct *)context[1]);
	return 0;
}

static __always_inline void mapped_address(__u8 *to, __be32 ipv4)
{
	__u32 *words = (__u32 *)to;

	words[0] = 0;
	words[1] = 0;
	words[2] = MAPPED_WORD;
	words[3] = ipv4;
}

/*
 * Returns the sequence number of the SYN that this socket has sent. It is on the wire too, and identifies this
 * connection from any other one with the same addresses and ports. snd_una begins at it (tcp_connect_init),
 * and bytes_acked counts all bytes that were acknowledged since, the SYN and the data of TCP Fast Open
 * included (tcp_snd_una_update).
 */
static __always_inline __u32 initial_sequence(const struct sock *sk)
{
	const struct tcp_sock *tcp = (const struct tcp_sock *)sk;

	if (!bpf_core_field_exists(tcp->bytes_acked))
		return 0;
	return BPF_CORE_READ(tcp, snd_una) - (__u32)BPF_CORE_READ(tcp, bytes_acked);
}

SEC("tp_btf/inet_sock_set_state")
int imds_connect_state(__u64 *context)
{
	const struct sock *sk = (const struct sock *)context[0];
	int old_state = (int)context[1];
	int new_state = (int)context[2];
	struct state_record record __attribute__((aligned(8)));
	__u32 endpoint;

	if (new_state != TCP_ESTABLISHED && new_state != TCP_CLOSE)
		return 0;
	endpoint = watched_endpoint(sk);
	if (endpoint == ENDPOINT_NONE)
		return 0;

	if (new_state == TCP_CLOSE) {
		__u64 socket = (__u64)sk;

		bpf_map_delete_elem(&socket_users, &socket);
	}
	record.kind = new_state == TCP_ESTABLISHED ? RECORD_ESTABLISHED :
		      old_state == TCP_SYN_SENT	   ? RECORD_FAILED :
						     RECORD_CLOSED;
	record.endpoint = endpoint;
	record.time_ns = bpf_ktime_get_ns();
	record.net_ns = sk->__sk_common.skc_net.net->ns.inum;
	record.socket = (__u64)sk;
	/*
	 * inet_sport is read, not skc_num, which is already released when the state becomes CLOSE
	 * (tcp_set_state).
	 */
	record.local_port = bpf_ntohs(BPF_CORE_READ((const struct inet_sock *)sk, inet_sport));
	record.remote_port = bpf_ntohs(sk->__sk_common.skc_dport);
	record.initial_sequence = initial_sequence(sk);
	if (sk->__sk_common.skc_family == AF_INET) {
		mapped_address(record.local_address, sk->__sk_common.skc_rcv_saddr);
		mapped_address(record.remote_address, sk->__sk_common.skc_daddr);
	} else if (bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		bpf_core_read(record.local_address, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_core_read(record.remote_address, 16, &sk->__sk_common.skc_v6_daddr);
	} else {
		return 0;
	}
	if (bpf_ringbuf_output(&records, &record, sizeof(record), state_wake_up(&record)))
		count_lost(record.kind);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
