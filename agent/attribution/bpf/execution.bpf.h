/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * Remembers the arguments with which processes began to run their programs. A script that runs curl may have ended
 * before user space can read its arguments in /proc, and no program can read the memory of another process here.
 */
#ifndef IMDS_EXECUTION_BPF_H
#define IMDS_EXECUTION_BPF_H

#include "scratch.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Those that ran a program last. The kernel allocates all of them, 4.5 MB. */
#define EXECUTIONS_MAX 8192

struct execution {
	__u64 start_boottime_ns;
	/* The address of its memory, which is new with each program: older arguments are not taken for its own. */
	__u64 memory;
	__u16 args_bytes;
	__u16 flags;
	__u32 reserved;
	__u8 args[ANCESTOR_ARGS_MAX_BYTES];
};

/* By process id in the initial namespace. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, EXECUTIONS_MAX);
	__type(key, __u32);
	__type(value, struct execution);
} executions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct execution);
} new_executions SEC(".maps");

/* Records the arguments of the current process, which has just begun to run another program. */
static __always_inline void record_execution(void)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	__u32 zero = 0, tgid = BPF_CORE_READ(task, tgid);
	struct execution *execution = bpf_map_lookup_elem(&new_executions, &zero);
	__u64 start, bytes;

	if (!mm || !execution)
		return;
	start = BPF_CORE_READ(mm, arg_start);
	bytes = BPF_CORE_READ(mm, arg_end) - start;
	execution->flags = 0;
	if (bytes > ANCESTOR_ARGS_MAX_BYTES) {
		bytes = ANCESTOR_ARGS_MAX_BYTES;
		execution->flags = ARGS_CUT;
	}
	if (bytes == 0 || bpf_probe_read_user(execution->args, bytes, (void *)start)) {
		/* The record that may be there is about another program. */
		bpf_map_delete_elem(&executions, &tgid);
		return;
	}
	execution->start_boottime_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	execution->memory = (__u64)mm;
	execution->args_bytes = bytes;
	bpf_map_update_elem(&executions, &tgid, execution, BPF_ANY);
}

/* Gives a forked process, such as a subshell, the arguments of the process that forked it. */
static __always_inline void copy_execution(struct task_struct *parent, struct task_struct *child)
{
	__u32 zero = 0, from = BPF_CORE_READ(parent, tgid), to = BPF_CORE_READ(child, tgid);
	struct execution *known, *copy;

	if (to != BPF_CORE_READ(child, pid)) /* a thread */
		return;
	known = bpf_map_lookup_elem(&executions, &from);
	copy = bpf_map_lookup_elem(&new_executions, &zero);
	if (!copy)
		return;
	if (!known || known->memory != (__u64)BPF_CORE_READ(parent, mm)) {
		bpf_map_delete_elem(&executions, &to);
		return;
	}
	bpf_probe_read_kernel(copy, sizeof(*copy), known);
	copy->start_boottime_ns = BPF_CORE_READ(child, start_boottime);
	copy->memory = (__u64)BPF_CORE_READ(child, mm);
	bpf_map_update_elem(&executions, &to, copy, BPF_ANY);
}

/*
 * Appends the arguments of an ancestor to the scratch data at `offset`, if they were recorded. Returns the new
 * offset. There must be room for ANCESTOR_ARGS_MAX_BYTES.
 */
static __always_inline __u64 append_execution(struct scratch *scratch, struct ancestor_record *ancestor,
					      struct task_struct *leader, __u64 offset)
{
	__u32 tgid = ancestor->tgid;
	struct execution *execution = bpf_map_lookup_elem(&executions, &tgid);
	__u64 bytes;

	ancestor->args_bytes = 0;
	if (!execution || execution->start_boottime_ns != ancestor->start_boottime_ns ||
	    execution->memory != (__u64)BPF_CORE_READ(leader, mm))
		return offset;
	bytes = execution->args_bytes;
	if (bytes > ANCESTOR_ARGS_MAX_BYTES)
		return offset;
	offset = bounded(offset);
	bpf_probe_read_kernel(&scratch->data[offset], ANCESTOR_ARGS_MAX_BYTES, execution->args);
	ancestor->args_bytes = bytes;
	ancestor->flags |= execution->flags;
	return offset + bytes;
}

#endif
