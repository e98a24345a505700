/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The per-CPU memory in which an owner's record is put together: the stack of a program (512 bytes) is too
 * small for it.
 */
#ifndef IMDS_SCRATCH_BPF_H
#define IMDS_SCRATCH_BPF_H

#include "records.h"

#include <bpf/bpf_helpers.h>

#define NAME_BYTES 256 /* NAME_MAX and its NUL: one component of a path */
#define ANCESTOR_EXECUTABLE_MAX_BYTES 768
#define ANCESTOR_ARGS_MAX_BYTES 512
/* Enough for the longest recorded arguments and a long chain of parents; a longer chain is cut. */
#define DATA_MAX_BYTES 16384 /* a power of two: see bounded() */

/* Set in an offset that is returned, when a path did not fit. */
#define PATH_CUT (1ull << 32)

/* The addresses of the chosen cgroups, one of each kind of hierarchy; 0 for none. See append_cgroups(). */
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
		/* The room past the limit holds an entry that begins just below it. */
		__u8 data[DATA_MAX_BYTES + ANCESTOR_EXECUTABLE_MAX_BYTES];
		/* These put both layouts into the object's type information, where a unit test reads them. */
		struct ancestor_record ancestor_layout;
		struct state_record state_layout;
	};
	struct cgroup_choice chosen;
	/* Grows with each record that is begun: a program that another one interrupted sees that here. */
	__u32 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/*
 * Bounds an offset into the data. The offset is within the bounds anyway; this shows it to the verifier of
 * every kernel, in one instruction that clang may not move.
 */
static __always_inline __u64 bounded(__u64 offset)
{
	offset &= DATA_MAX_BYTES - 1;
	asm volatile("" : "+r"(offset));
	return offset;
}

#endif
