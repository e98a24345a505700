/* SPDX-License-Identifier: (BSD-2-Clause OR GPL-2.0-only) */
/* Decides which sockets are watched. An endpoint is added here and to enum endpoint of records.h. */
#ifndef IMDS_ENDPOINTS_BPF_H
#define IMDS_ENDPOINTS_BPF_H

#include "records.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define ENDPOINT_PORT bpf_htons(80)
#define IMDS_IPV4 bpf_htonl(0xa9fea9fe)	    /* 169.254.169.254 */
#define ECS_IPV4 bpf_htonl(0xa9feaa02)	    /* 169.254.170.2 */
#define EKS_IPV4 bpf_htonl(0xa9feaa17)	    /* 169.254.170.23 */
#define MAPPED_WORD bpf_htonl(0x0000ffff)   /* third word of ::ffff:a.b.c.d */
#define AWS_IPV6_WORD0 bpf_htonl(0xfd000ec2) /* fd00:ec2:: */
#define IMDS_IPV6_WORD3 bpf_htonl(0x00000254)
#define EKS_IPV6_WORD3 bpf_htonl(0x00000023)

/*
 * The value is not 0 for each endpoint that the agent watches. The kernel decides this, not the reader of the
 * ring: an unwanted record costs its caller some 25 us and takes room in the ring, while a look into this map
 * costs nanoseconds.
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

/* Returns the endpoint that a socket connects to, or ENDPOINT_NONE if it is none that the agent watches. */
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

#endif
