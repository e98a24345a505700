/**
 * Why a packet is not a segment. `not_tcp`: another protocol, none of our business. The others are losses:
 * `ip_fragment` could carry part of a request, `cut_short` and `malformed` could not be read. `bad_checksum` is none:
 * the receiver drops such a packet, and if it did not, its acknowledgement of bytes that nobody saw tells.
 */
export type DecodeFault =
  | 'link_type'
  | 'not_ip'
  | 'not_tcp'
  | 'ip_fragment'
  | 'cut_short'
  | 'malformed'
  | 'bad_checksum';
