/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Records the cgroups of the process that connects. */
#ifndef IMDS_CGROUP_BPF_H
#define IMDS_CGROUP_BPF_H

#include "scratch.bpf.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define CGROUP_LEVELS_MAX 16
#define CGROUP_PATH_MAX_BYTES 1024
/* Hierarchies of cgroups: the unified one, one for each controller of version 1, and named ones. */
#define HIERARCHIES_MAX 20

/*
 * Appends a cgroup's path below its hierarchy's root to the scratch data at `offset`: the names innermost
 * first, and one more NUL. Appends nothing for the root itself. Returns the new offset, or PATH_CUT when the
 * path is too deep or too long. The function is global and takes numbers only for the reason given at
 * append_executable().
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
		if (!parent) { /* the root of the hierarchy has no name */
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

/* Returns whether a hierarchy is the named one that systemd keeps its units in (cgroups of version 1). */
static __always_inline int is_named_systemd(struct cgroup_root *root)
{
	char name[8];

	if (bpf_core_read_str(name, sizeof(name), &root->name) != sizeof(name))
		return 0;
	return name[0] == 's' && name[1] == 'y' && name[2] == 's' && name[3] == 't' && name[4] == 'e' &&
	       name[5] == 'm' && name[6] == 'd';
}

/*
 * Appends up to four cgroup paths of a task, as seen from the roots of their hierarchies, and returns the new
 * offset:
 *   - the path in systemd's own hierarchy of version 1, where there is one;
 *   - the path in the unified hierarchy;
 *   - the two deepest paths that differ among the controllers of version 1.
 * No controller is chosen by name: a container engine uses every controller that it finds, and each host has
 * others.
 *
 * The links of a css_set live as long as the css_set, and that lives while the task is in it. Another task may
 * move this one meanwhile (css_set_lock cannot be taken here): then the paths that were read are discarded.
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

	if (!bpf_core_field_exists(task->cgroups)) /* this kernel has no cgroups */
		return offset;
	scratch = bpf_map_lookup_elem(&scratches, &zero);
	if (!scratch)
		return PATH_CUT;
	/*
	 * The choice is kept in memory, not in registers, so that the verifier need not follow each
	 * combination.
	 */
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
		hash = BPF_CORE_READ(cgroup, kn, hash); /* the hash of its name */
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

#endif
