/**
 * Why a packet is not a segment. `not_tcp`: another protocol, none of our business. The others are losses:
 * `ip_fragment` could carry part of a request, `cut_short` and `malformed` could not be read.
 */
export type DecodeFault = 'link_type' | 'not_ip' | 'not_tcp' | 'ip_fragment' | 'cut_short' | 'malformed';
