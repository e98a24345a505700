/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Records the process that connects: its arguments, executable, parents and pid namespace. */
#ifndef IMDS_CALLER_BPF_H
#define IMDS_CALLER_BPF_H

#include "scratch.bpf.h"
#include "execution.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define ARGS_MAX_BYTES 4096
#define ARGS_REST_MAX_BYTES 2048
#define ARG_PIECE_BYTES 4096
/* The kernel takes no argument of more than 128 KiB (MAX_ARG_STRLEN, include/uapi/linux/binfmts.h). */
#define ARG_PIECES_MAX 33
#define PAGE_MIN_BYTES 4096
#define EXECUTABLE_MAX_BYTES 2048
#define WORKING_DIRECTORY_MAX_BYTES 1024
#define ANCESTORS_MAX 24
#define PATH_STEPS_MAX 56

/*
 * Appends a path to the scratch data at `offset`: its components innermost first. It ends at `root_dentry` of
 * `root_vfsmount`, or at the root of the mount namespace. Returns the new offset, with PATH_CUT when the path did not
 * fit below `limit` or has more than PATH_STEPS_MAX components and mount points.
 */
static __always_inline __u64 append_path(struct dentry *dentry, struct vfsmount *vfsmount, struct dentry *root_dentry,
					 struct vfsmount *root_vfsmount, __u64 offset, __u64 limit)
{
	struct scratch *scratch;
	__u32 zero = 0;

	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return offset | PATH_CUT;
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
		/*
		 * A file in no directory, such as a memfd, has a dentry that is its own parent: its path is
		 * its name.
		 */
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
 * Appends the path of a task's executable, as seen from the task's own root. The function is global and takes the
 * task as a number on purpose: the verifier then checks it once, not once for each call (global functions of
 * scalars: Linux 5.6).
 */
__noinline __u64 append_executable(__u64 task_address, __u64 offset, __u64 limit)
{
	struct task_struct *task = (struct task_struct *)task_address;
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct file *file = mm ? BPF_CORE_READ(mm, exe_file) : 0;
	struct fs_struct *fs;

	if (!file)
		return offset;
	fs = BPF_CORE_READ(task, fs);
	return append_path(BPF_CORE_READ(file, f_path.dentry), BPF_CORE_READ(file, f_path.mnt),
			   BPF_CORE_READ(fs, root.dentry), BPF_CORE_READ(fs, root.mnt), offset, limit);
}

/*
 * Appends the path of a task's working directory, as seen from the root of its mount namespace, as /proc/PID/cwd
 * shows it. The path of the root itself has no components.
 */
__noinline __u64 append_working_directory(__u64 task_address, __u64 offset, __u64 limit)
{
	struct task_struct *task = (struct task_struct *)task_address;
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct dentry *dentry = BPF_CORE_READ(fs, pwd.dentry);

	if (!dentry)
		return offset | PATH_CUT;
	return append_path(dentry, BPF_CORE_READ(fs, pwd.mnt), 0, 0, offset, limit);
}

/*
 * Appends the arguments that follow the one in which the recorded ones end. The main class of a JVM stands behind its
 * class path, which may be long. Returns their length; 0 if there are none, or if they cannot be read. `at` is the
 * address of the last byte that was recorded, which is the NUL of an argument if that one is whole.
 */
static __always_inline __u64 copy_rest(struct scratch *scratch, __u64 at, __u64 end)
{
	__u8 *to = &scratch->data[ARGS_MAX_BYTES];
	__u64 bytes;
	long copied = 0;

	for (int piece = 0; piece < ARG_PIECES_MAX; piece++) {
		if (at >= end)
			return 0;
		copied = bpf_probe_read_user_str(to, ARG_PIECE_BYTES, (void *)at);
		if (copied <= 0)
			return 0;
		if (copied < ARG_PIECE_BYTES)
			break;
		/* The last byte of a full piece is a NUL that the helper wrote, not the argument's. */
		at += ARG_PIECE_BYTES - 1;
	}
	if (copied >= ARG_PIECE_BYTES)
		return 0;
	at += copied;
	if (at >= end)
		return 0;
	bytes = end - at;
	if (bytes > ARGS_REST_MAX_BYTES)
		bytes = ARGS_REST_MAX_BYTES;
	return bpf_probe_read_user(to, bytes, (void *)at) ? 0 : bytes;
}

/*
 * Copies the caller's arguments to the start of the scratch data and returns their length. A page that is not
 * in memory cannot be fetched here (page faults are off), and a failed read copies nothing: then only the
 * first page is read.
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
	if (bpf_probe_read_user(scratch->data, bytes, (void *)start) == 0) {
		if (scratch->head.flags & ARGS_CUT) {
			scratch->head.args_rest_bytes =
				copy_rest(scratch, start + ARGS_MAX_BYTES - 1, BPF_CORE_READ(mm, arg_end));
			return ARGS_MAX_BYTES + scratch->head.args_rest_bytes;
		}
		return bytes;
	}
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
 * Appends the parents, from the nearest to pid 1, each the leader of its thread group. Returns the new
 * offset.
 */
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
		if (pid == 0) /* the idle task: the caller is a child of kthreadd, or has no parent */
			break;
		begin = bounded((offset + 7) & ~7ull);
		if (begin > DATA_MAX_BYTES - ANCESTOR_EXECUTABLE_MAX_BYTES - NAME_BYTES -
			    ANCESTOR_ARGS_MAX_BYTES - sizeof(*ancestor)) {
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
		ancestor->reserved[0] = ancestor->reserved[1] = ancestor->reserved[2] = 0;
		offset = bounded(append_execution(scratch, ancestor, leader, offset));
		count++;
	}
	if (count == ANCESTORS_MAX && pid != 1)
		scratch->head.flags |= ANCESTORS_CUT;
	scratch->head.ancestors = count;
	return offset;
}

/* Records the innermost pid namespace of the caller, and its pid there. */
static __always_inline void record_pid_namespace(struct owner_record *head, struct task_struct *leader)
{
	struct pid *pid = BPF_CORE_READ(leader, thread_pid);
	__u32 level = BPF_CORE_READ(pid, level);
	struct upid *upid =
		(void *)pid + bpf_core_field_offset(struct pid, numbers) + level * bpf_core_type_size(struct upid);

	head->pid_ns = BPF_CORE_READ(upid, ns, ns.inum);
	head->inner_pid = BPF_CORE_READ(upid, nr);
	head->args_rest_bytes = 0;
}

#endif
