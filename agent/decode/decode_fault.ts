/**
 * The reasons why a packet gives no segment.
 *
 * `not_tcp` is another protocol and no loss. `bad_checksum` is no loss either: the receiver drops such a
 * packet, and if it accepts it after all, it acknowledges bytes that we did not see. The other reasons are
 * losses: an `ip_fragment` may carry a part of a request, and a `cut_short` or `malformed` packet cannot be
 * read.
 */
export type DecodeFault =
  | 'link_type'
  | 'not_ip'
  | 'not_tcp'
  | 'ip_fragment'
  | 'cut_short'
  | 'malformed'
  | 'bad_checksum';
