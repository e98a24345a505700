// SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only)
/*
 * Who connects to the metadata service, told by the kernel.
 *
 * Both programs sit on the tracepoint sock:inet_sock_set_state (net/ipv4/af_inet.c, since Linux 4.16) as tp_btf:
 *
 *   imds_connect_begun   a socket enters SYN_SENT. That happens inside connect() (or a first send with TCP fast open),
 *                        in the caller's own context, so `current` is the caller: everything about it is recorded here,
 *                        while it is certain to exist. The source port is not chosen yet (tcp_v4_connect sets the
 *                        state before inet_hash_connect).
 *   imds_connect_state   the same socket becomes ESTABLISHED (in softirq, in whoever's context: only the addresses
 *                        are taken), fails (SYN_SENT to CLOSE) or ends (to CLOSE).
 *
 * They are joined in user space by the socket's address. Why two programs: from Linux 6.2 on a tracing program that is
 * interrupted and entered again on the same CPU is skipped (prog->active, kernel/trace/bpf_trace.c). The first program
 * is long and a softirq may well bring another socket to ESTABLISHED in the middle of it; that is a different program,
 * so it runs. What is skipped in spite of that is counted by the kernel (bpf_prog_info.recursion_misses).
 *
 * Uses nothing younger than Linux 5.8 (ring buffer): no bpf_loop, no dynptr, no bpf_d_path (which tp_btf may not call).
 * Seen to load and to report right on 6.18; before it reported sequence numbers on 6.1 and 6.12, before cgroups on 5.10.
 */
#include "kernel_types.h"

#include <bpf/bpf_helpers.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#define COMM_BYTES 16
#define NAME_BYTES 256 /* NAME_MAX and its NUL: one component of a path */
#define ARGS_MAX_BYTES 4096
#define PAGE_MIN_BYTES 4096
#define EXECUTABLE_MAX_BYTES 2048
#define ANCESTOR_EXECUTABLE_MAX_BYTES 768
#define ANCESTORS_MAX 24
#define PATH_STEPS_MAX 56
#define CGROUP_LEVELS_MAX 16
#define CGROUP_PATH_MAX_BYTES 1024
/* Hierarchies of cgroups: the unified one, one for each controller of version 1, and named ones. */
#define HIERARCHIES_MAX 20
/* Data of one record: what a full set of arguments and a long chain of parents need; then the chain is cut. */
#define DATA_MAX_BYTES 16384 /* a power of two: see bounded() */
#define RING_BYTES (1024 * 1024)

#define PATH_CUT (1ull << 32)

enum record_kind {
	RECORD_OWNER = 1,
	RECORD_ESTABLISHED = 2,
	RECORD_FAILED = 3,
	RECORD_CLOSED = 4,
};

enum owner_flags {
	ARGS_CUT = 1,
	ARGS_UNREADABLE = 2,
	EXECUTABLE_CUT = 4,
	ANCESTORS_CUT = 8,
	CGROUPS_CUT = 16,
};

/* The layouts that agent/attribution/ebpf_records.ts decodes. Byte order is the machine's own. */
struct owner_record {
	__u16 kind;
	__u16 endpoint;
	__u32 net_ns;
	__u64 socket;
	__u64 start_boottime_ns;
	__u64 cgroup_id;
	__u32 tgid;
	__u32 tid;
	__u32 euid;
	__u32 mount_ns;
	__u32 pid_ns;
	__u16 flags;
	__u16 ancestors;
	__u16 args_bytes;
	__u16 executable_bytes;
	__u16 cgroups_bytes;
	__u16 data_bytes;
	char comm[COMM_BYTES];
	/* The process's pid as its own innermost pid namespace (pid_ns) has it. */
	__u32 inner_pid;
	__u32 reserved;
	/* then data_bytes of data: arguments, executable, cgroups, and at each next multiple of 8 one ancestor_record */
};

/*
 * Executables are path components, innermost first, each ended by NUL: walking up finds them in that order.
 * Cgroups are up to four paths of the same kind, each with one more NUL at its end.
 */
struct ancestor_record {
	__u64 start_boottime_ns;
	__u32 tgid;
	__u16 flags;
	__u16 executable_bytes;
	char comm[COMM_BYTES];
	/* then executable_bytes */
};

struct state_record {
	__u16 kind;
	__u16 endpoint;
	__u32 net_ns;
	__u64 socket;
	__u16 local_port;
	__u16 remote_port;
	/* The sequence number of the socket's SYN; of no meaning where none was sent, and 0 where the kernel does not tell. */
	__u32 initial_sequence;
	/* IPv4 as ::ffff:a.b.c.d */
	__u8 local_address[16];
	__u8 remote_address[16];
};

/* One cgroup of each kind of hierarchy, 0 for none. */
struct cgroup_choice {
	__u64 systemd;
	__u64 unified;
	__u64 deepest;
	__u64 other;
	__u32 deepest_level;
	__u32 deepest_hash;
	__u32 other_level;
	__u32 other_hash;
};

struct scratch {
	struct owner_record head;
	union {
		/* Room past the limit, so that whatever begins below it fits. */
		__u8 data[DATA_MAX_BYTES + ANCESTOR_EXECUTABLE_MAX_BYTES];
		/* Named only so that the object's type information has their layouts: a test reads them there. */
		struct ancestor_record ancestor_layout;
		struct state_record state_layout;
	};
	struct cgroup_choice chosen;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RING_BYTES);
} records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Records that did not fit the ring, by their kind. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RECORD_CLOSED + 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_lost(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&lost, &kind);

	if (count)
		__sync_fetch_and_add(count, 1);
}

/* Tells the verifier of every kernel, in one instruction that clang may not move, what is true anyway. */
static __always_inline __u64 bounded(__u64 offset)
{
	offset &= DATA_MAX_BYTES - 1;
	asm volatile("" : "+r"(offset));
	return offset;
}

/* ---- which sockets are watched: the one place to add an endpoint ---- */

enum endpoint {
	ENDPOINT_NONE = 0,
	ENDPOINT_IMDS_IPV4 = 1,
	ENDPOINT_IMDS_IPV6 = 2,
	ENDPOINT_ECS = 3,
	ENDPOINT_EKS_IPV4 = 4,
	ENDPOINT_EKS_IPV6 = 5,
	ENDPOINT_COUNT = 6,
};

#define ENDPOINT_PORT bpf_htons(80)
#define IMDS_IPV4 bpf_htonl(0xa9fea9fe)	    /* 169.254.169.254 */
#define ECS_IPV4 bpf_htonl(0xa9feaa02)	    /* 169.254.170.2 */
#define EKS_IPV4 bpf_htonl(0xa9feaa17)	    /* 169.254.170.23 */
#define MAPPED_WORD bpf_htonl(0x0000ffff)   /* third word of ::ffff:a.b.c.d */
#define AWS_IPV6_WORD0 bpf_htonl(0xfd000ec2) /* fd00:ec2:: */
#define IMDS_IPV6_WORD3 bpf_htonl(0x00000254)
#define EKS_IPV6_WORD3 bpf_htonl(0x00000023)

/*
 * Not 0 for each endpoint that was asked for. Judged here and not by the reader: the record of a connection that nobody
 * asked for costs its caller some 25 us and the ring its room, and a look here a few nanoseconds.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ENDPOINT_COUNT);
	__type(key, __u32);
	__type(value, __u32);
} chosen_endpoints SEC(".maps");

static __always_inline __u32 endpoint_of_ipv4(__be32 address)
{
	return address == IMDS_IPV4 ? ENDPOINT_IMDS_IPV4 :
	       address == ECS_IPV4  ? ENDPOINT_ECS :
	       address == EKS_IPV4  ? ENDPOINT_EKS_IPV4 :
				      ENDPOINT_NONE;
}

static __always_inline __u32 endpoint_of_ipv6(const __u32 *words)
{
	if (words[0] == 0 && words[1] == 0 && words[2] == MAPPED_WORD)
		return endpoint_of_ipv4(words[3]);
	if (words[0] != AWS_IPV6_WORD0 || words[1] != 0 || words[2] != 0)
		return ENDPOINT_NONE;
	return words[3] == IMDS_IPV6_WORD3 ? ENDPOINT_IMDS_IPV6 :
	       words[3] == EKS_IPV6_WORD3  ? ENDPOINT_EKS_IPV6 :
					     ENDPOINT_NONE;
}

static __always_inline __u32 watched_endpoint(const struct sock *sk)
{
	__u32 endpoint = ENDPOINT_NONE;
	__u32 *chosen;

	if (sk->sk_protocol != IPPROTO_TCP || sk->__sk_common.skc_dport != ENDPOINT_PORT)
		return ENDPOINT_NONE;
	if (sk->__sk_common.skc_family == AF_INET) {
		endpoint = endpoint_of_ipv4(sk->__sk_common.skc_daddr);
	} else if (sk->__sk_common.skc_family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		__u32 to[4];

		bpf_core_read(to, sizeof(to), &sk->__sk_common.skc_v6_daddr);
		endpoint = endpoint_of_ipv6(to);
	}
	if (endpoint == ENDPOINT_NONE)
		return ENDPOINT_NONE;
	chosen = bpf_map_lookup_elem(&chosen_endpoints, &endpoint);
	return chosen && *chosen ? endpoint : ENDPOINT_NONE;
}

/* ---- the caller ---- */

/*
 * Appends the path of a task's executable, as seen from the task's own root, to the scratch data at `offset`: its
 * components innermost first. Returns the new offset, with PATH_CUT when the path did not fit below `limit` or has
 * more than PATH_STEPS_MAX components and mount points. Takes the task as a number and is global on purpose: the
 * verifier then checks it once, and not once for each of the callers (global functions of scalars: Linux 5.6).
 */
__noinline __u64 append_executable(__u64 task_address, __u64 offset, __u64 limit)
{
	struct task_struct *task = (struct task_struct *)task_address;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct file *file = mm ? BPF_CORE_READ(mm, exe_file) : 0;
	struct dentry *dentry, *root_dentry;
	struct vfsmount *vfsmount, *root_vfsmount;
	struct scratch *scratch;
	struct fs_struct *fs;
	__u32 zero = 0;

	if (!file)
		return offset;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return offset;
	fs = BPF_CORE_READ(task, fs);
	root_dentry = BPF_CORE_READ(fs, root.dentry);
	root_vfsmount = BPF_CORE_READ(fs, root.mnt);
	dentry = BPF_CORE_READ(file, f_path.dentry);
	vfsmount = BPF_CORE_READ(file, f_path.mnt);

	for (int step = 0; step < PATH_STEPS_MAX; step++) {
		struct dentry *parent, *mount_root;
		const unsigned char *name;
		int detached, bytes;

		if (dentry == root_dentry && vfsmount == root_vfsmount)
			return offset;
		parent = BPF_CORE_READ(dentry, d_parent);
		mount_root = BPF_CORE_READ(vfsmount, mnt_root);
		if (dentry == mount_root) {
			struct mount *mount = (void *)vfsmount - bpf_core_field_offset(struct mount, mnt);
			struct mount *mount_parent = BPF_CORE_READ(mount, mnt_parent);

			if (mount == mount_parent || !mount_parent)
				return offset;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			vfsmount = (void *)mount_parent + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		/* A file of no directory, such as a memfd: its dentry is its own parent, its name is all there is. */
		detached = parent == dentry || !parent;
		if (offset >= limit)
			return offset | PATH_CUT;
		offset = bounded(offset);
		name = BPF_CORE_READ(dentry, d_name.name);
		bytes = bpf_probe_read_kernel_str(&scratch->data[offset], NAME_BYTES, name);
		if (bytes <= 0)
			return offset | PATH_CUT;
		offset += bytes;
		if (detached)
			return offset;
		dentry = parent;
	}
	return offset | PATH_CUT;
}

/*
 * Copies the caller's arguments to the start of the scratch data. A page that is not in memory cannot be fetched
 * here (page faults are off), and a failed read gives nothing at all: then what the first page holds is taken alone.
 */
static __always_inline __u64 copy_arguments(struct scratch *scratch, struct mm_struct *mm)
{
	__u64 start, bytes, first_page;

	if (!mm) { /* a kernel thread, such as an NFS client */
		scratch->head.flags |= ARGS_UNREADABLE;
		return 0;
	}
	start = BPF_CORE_READ(mm, arg_start);
	bytes = BPF_CORE_READ(mm, arg_end) - start;
	if (bytes > ARGS_MAX_BYTES) {
		bytes = ARGS_MAX_BYTES;
		scratch->head.flags |= ARGS_CUT;
	}
	if (bytes == 0)
		return 0;
	if (bpf_probe_read_user(scratch->data, bytes, (void *)start) == 0)
		return bytes;
	first_page = PAGE_MIN_BYTES - (start & (PAGE_MIN_BYTES - 1));
	if (first_page < bytes && first_page <= ARGS_MAX_BYTES &&
	    bpf_probe_read_user(scratch->data, first_page, (void *)start) == 0) {
		scratch->head.flags |= ARGS_CUT;
		return first_page;
	}
	scratch->head.flags |= ARGS_UNREADABLE;
	return 0;
}

/*
 * Appends a cgroup's path below its hierarchy's root to the scratch data at `offset`: the names innermost first, and one
 * more NUL. Nothing for the root itself. Returns the new offset, or PATH_CUT when the path is too deep or too long.
 * Global and of numbers only for the reason given at append_executable.
 */
__noinline __u64 append_cgroup(__u64 cgroup_address, __u64 offset)
{
	struct cgroup *cgroup = (struct cgroup *)cgroup_address;
	struct kernfs_node *node = BPF_CORE_READ(cgroup, kn);
	__u64 begin = offset;
	struct scratch *scratch;
	__u32 zero = 0;

	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return PATH_CUT;
	for (int level = 0; level <= CGROUP_LEVELS_MAX; level++) {
		struct kernfs_node *parent;
		int bytes;

		if (bpf_core_field_exists(((struct kernfs_node___before_6_15 *)node)->parent))
			parent = BPF_CORE_READ((struct kernfs_node___before_6_15 *)node, parent);
		else
			parent = BPF_CORE_READ(node, __parent);
		if (!parent) { /* the hierarchy's root, which has no name */
			if (offset == begin)
				return offset;
			offset = bounded(offset);
			scratch->data[offset] = 0;
			return offset + 1;
		}
		if (offset - begin >= CGROUP_PATH_MAX_BYTES)
			return PATH_CUT;
		offset = bounded(offset);
		bytes = bpf_probe_read_kernel_str(&scratch->data[offset], NAME_BYTES, BPF_CORE_READ(node, name));
		if (bytes <= 1)
			return PATH_CUT;
		offset += bytes;
		node = parent;
	}
	return PATH_CUT;
}

static __always_inline int is_named_systemd(struct cgroup_root *root)
{
	char name[8];

	if (bpf_core_read_str(name, sizeof(name), &root->name) != sizeof(name))
		return 0;
	return name[0] == 's' && name[1] == 'y' && name[2] == 's' && name[3] == 't' && name[4] == 'e' &&
	       name[5] == 'm' && name[6] == 'd';
}

/*
 * Appends the cgroup paths of a task, as seen from the hierarchies' own roots: in the hierarchy that systemd keeps where
 * there is one of version 1, in the unified one, and the two deepest that differ of the controllers of version 1. An
 * engine puts a container into every controller that it finds; which of them are there, and which of them something
 * else uses as well, is the host's affair, so none is asked for by name. Returns the new offset.
 *
 * The links of a css_set live as long as it does, and ours lives while the task is in it. Another task may move ours
 * meanwhile (css_set_lock cannot be had here): then what was read is thrown away.
 */
__noinline __u64 append_cgroups(__u64 task_address, __u64 offset)
{
	struct task_struct *task = (struct task_struct *)task_address;
	struct cgroup_choice *chosen;
	struct list_head *end, *at;
	struct scratch *scratch;
	struct css_set *set;
	__u32 zero = 0;
	int hierarchy;

	if (!bpf_core_field_exists(task->cgroups)) /* a kernel without cgroups */
		return offset;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return PATH_CUT;
	/* Kept there and not in registers: the verifier need not follow which was chosen when. */
	chosen = &scratch->chosen;
	__builtin_memset(chosen, 0, sizeof(*chosen));
	set = BPF_CORE_READ(task, cgroups);
	end = (void *)set + bpf_core_field_offset(struct css_set, cgrp_links);
	at = BPF_CORE_READ(end, next);
	for (hierarchy = 0; hierarchy < HIERARCHIES_MAX && at && at != end; hierarchy++) {
		struct cgrp_cset_link *link = (void *)at - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);
		struct cgroup *cgroup = BPF_CORE_READ(link, cgrp);
		__u32 level = BPF_CORE_READ(cgroup, level);
		struct cgroup_root *root;
		__u32 hash;

		at = BPF_CORE_READ(at, next);
		if (level == 0)
			continue;
		root = BPF_CORE_READ(cgroup, root);
		if (BPF_CORE_READ(root, hierarchy_id) == 0) {
			chosen->unified = (__u64)cgroup;
			continue;
		}
		if (is_named_systemd(root)) {
			chosen->systemd = (__u64)cgroup;
			continue;
		}
		hash = BPF_CORE_READ(cgroup, kn, hash); /* of its name */
		if (hash == chosen->deepest_hash || hash == chosen->other_hash)
			continue;
		if (level > chosen->deepest_level) {
			chosen->other = chosen->deepest;
			chosen->other_level = chosen->deepest_level;
			chosen->other_hash = chosen->deepest_hash;
			chosen->deepest = (__u64)cgroup;
			chosen->deepest_level = level;
			chosen->deepest_hash = hash;
		} else if (level > chosen->other_level) {
			chosen->other = (__u64)cgroup;
			chosen->other_level = level;
			chosen->other_hash = hash;
		}
	}
	if (at != end)
		return PATH_CUT;
	if (chosen->systemd)
		offset = append_cgroup(chosen->systemd, offset);
	if (chosen->unified && !(offset & PATH_CUT))
		offset = append_cgroup(chosen->unified, offset);
	if (chosen->deepest && !(offset & PATH_CUT))
		offset = append_cgroup(chosen->deepest, offset);
	if (chosen->other && !(offset & PATH_CUT))
		offset = append_cgroup(chosen->other, offset);
	return set == BPF_CORE_READ(task, cgroups) ? offset : PATH_CUT;
}

/* Appends the parents from the nearest up to pid 1, each the leader of its thread group. Returns the new offset. */
static __always_inline __u64 append_ancestors(struct scratch *scratch, struct task_struct *task, __u64 offset)
{
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);
	__u32 count = 0;
	__u32 pid = BPF_CORE_READ(leader, tgid);

	for (int level = 0; level < ANCESTORS_MAX; level++) {
		struct ancestor_record *ancestor;
		__u64 begin, end;

		if (pid == 1)
			break;
		leader = BPF_CORE_READ(leader, real_parent, group_leader);
		pid = BPF_CORE_READ(leader, tgid);
		if (pid == 0) /* the idle task: the caller is a child of kthreadd or of nobody */
			break;
		begin = bounded((offset + 7) & ~7ull);
		if (begin > DATA_MAX_BYTES - ANCESTOR_EXECUTABLE_MAX_BYTES - NAME_BYTES - sizeof(*ancestor)) {
			scratch->head.flags |= ANCESTORS_CUT;
			break;
		}
		ancestor = (struct ancestor_record *)&scratch->data[begin];
		ancestor->start_boottime_ns = BPF_CORE_READ(leader, start_boottime);
		ancestor->tgid = pid;
		bpf_core_read(&ancestor->comm, sizeof(ancestor->comm), &leader->comm);
		begin += sizeof(*ancestor);
		end = append_executable((__u64)leader, begin, begin + ANCESTOR_EXECUTABLE_MAX_BYTES);
		ancestor->flags = end & PATH_CUT ? EXECUTABLE_CUT : 0;
		offset = bounded(end);
		ancestor->executable_bytes = offset - begin;
		count++;
	}
	if (count == ANCESTORS_MAX && pid != 1)
		scratch->head.flags |= ANCESTORS_CUT;
	scratch->head.ancestors = count;
	return offset;
}

static __always_inline void record_pid_namespace(struct owner_record *head, struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *upid =
		(void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);

	head->pid_ns = BPF_CORE_READ(upid, ns, ns.inum);
	head->inner_pid = BPF_CORE_READ(upid, nr);
	head->reserved = 0;
}

SEC("tp_btf/inet_sock_set_state")
int imds_connect_begun(__u64 *context)
{
	const struct sock *sk = (const struct sock *)context[0];
	struct task_struct *task, *leader;
	struct scratch *scratch;
	__u32 endpoint, zero = 0;
	__u64 offset, end;

	if ((int)context[2] != TCP_SYN_SENT)
		return 0;
	endpoint = watched_endpoint(sk);
	if (endpoint == ENDPOINT_NONE)
		return 0;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return 0;

	task = (struct task_struct *)bpf_get_current_task();
	leader = BPF_CORE_READ(task, group_leader);
	scratch->head.kind = RECORD_OWNER;
	scratch->head.endpoint = endpoint;
	scratch->head.net_ns = sk->__sk_common.skc_net.net->ns.inum;
	scratch->head.socket = (__u64)sk;
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
	end = bounded(append_ancestors(scratch, task, end));
	scratch->head.data_bytes = end;
	/* Nobody sleeps on the ring: it is drained before each packet and on a timer. */
	if (bpf_ringbuf_output(&records, scratch, sizeof(scratch->head) + end, BPF_RB_NO_WAKEUP))
		count_lost(RECORD_OWNER);
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
 * The sequence number of the SYN that this socket has sent: what is on the wire too, and tells this connection from any
 * other one with the same addresses and ports. snd_una begins at it (tcp_connect_init), and bytes_acked counts all that
 * was acknowledged since, the SYN and the data of TCP fast open included (tcp_snd_una_update).
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

	record.kind = new_state == TCP_ESTABLISHED ? RECORD_ESTABLISHED :
		      old_state == TCP_SYN_SENT	   ? RECORD_FAILED :
						     RECORD_CLOSED;
	record.endpoint = endpoint;
	record.net_ns = sk->__sk_common.skc_net.net->ns.inum;
	record.socket = (__u64)sk;
	/* inet_sport and not skc_num: the latter is already given back when the state becomes CLOSE (tcp_set_state). */
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
	if (bpf_ringbuf_output(&records, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count_lost(record.kind);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
