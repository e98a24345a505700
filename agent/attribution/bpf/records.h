/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/*
 * The layouts of the records that the programs put into the ring. This file is the one thing that
 * agent/attribution/ebpf_records.ts must match; a unit test compares both. Byte order is the machine's own.
 */
#ifndef IMDS_RECORDS_H
#define IMDS_RECORDS_H

#include "kernel_types.h"

#define COMM_BYTES 16

enum record_kind {
	RECORD_OWNER = 1,
	RECORD_ESTABLISHED = 2,
	RECORD_FAILED = 3,
	RECORD_CLOSED = 4,
	/* Another process than before sends on the socket: the layout is that of the owner. */
	RECORD_SENDER = 5,
	RECORD_KINDS_END = 6,
};

enum owner_flags {
	ARGS_CUT = 1,
	ARGS_UNREADABLE = 2,
	EXECUTABLE_CUT = 4,
	ANCESTORS_CUT = 8,
	CGROUPS_CUT = 16,
	WORKING_DIRECTORY_CUT = 32,
	/* User space is woken up for this record, and reads at once what only /proc has. */
	URGENT = 64,
};

enum endpoint {
	ENDPOINT_NONE = 0,
	ENDPOINT_IMDS_IPV4 = 1,
	ENDPOINT_IMDS_IPV6 = 2,
	ENDPOINT_ECS = 3,
	ENDPOINT_EKS_IPV4 = 4,
	ENDPOINT_EKS_IPV6 = 5,
	ENDPOINT_COUNT = 6,
};

/* The process in whose context the socket begins to connect, or that sends on it. */
struct owner_record {
	__u16 kind;
	__u16 endpoint;
	__u32 net_ns;
	__u64 socket;
	/* RECORD_SENDER: the sequence number of the first byte that it sends. */
	__u32 sequence;
	__u32 reserved;
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
	/* The process's pid in its own innermost pid namespace (pid_ns). */
	__u32 inner_pid;
	/*
	 * The last bytes of the arguments follow the argument in which the first ARGS_MAX_BYTES end, whose middle and end
	 * are not recorded; 0 if there are none such.
	 */
	__u16 args_rest_bytes;
	__u16 working_directory_bytes;
	/*
	 * data_bytes of data follow: arguments, executable, cgroups, working directory, then each
	 * ancestor_record at a multiple of 8.
	 */
};

/*
 * An executable or a working directory is a list of path components, innermost first, each ended by NUL: walking up the directories
 * finds them in that order. Cgroups are up to four paths of the same form, each with one more NUL at its end.
 */
struct ancestor_record {
	__u64 start_boottime_ns;
	__u32 tgid;
	__u16 flags;
	__u16 executable_bytes;
	__u16 args_bytes;
	__u16 reserved[3];
	char comm[COMM_BYTES];
	/* executable_bytes of the executable follow, and args_bytes of the arguments with which it began. */
};

/* A change of a socket's state. */
struct state_record {
	__u16 kind;
	__u16 endpoint;
	__u32 net_ns;
	__u64 socket;
	__u16 local_port;
	__u16 remote_port;
	/*
	 * The sequence number of the socket's SYN. It has no meaning if no SYN was sent; 0 if the kernel
	 * hides it.
	 */
	__u32 initial_sequence;
	/* An IPv4 address is written as ::ffff:a.b.c.d. */
	__u8 local_address[16];
	__u8 remote_address[16];
	/* The monotonic clock's time of the change. */
	__u64 time_ns;
};

#endif
