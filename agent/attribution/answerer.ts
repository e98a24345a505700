/**
 * Decides who answered a call: the instance's metadata service, or something on this host (a credential proxy
 * behind address translation, a mock, an emulator). Pure: values in, a value out.
 *
 * The decision never rests on what a sender can choose. A process that calls the real service can show us
 * forged packets, and root in a container can make up the translation table of its own namespace. But the
 * packets of a real call leave towards the service, still with the service's address, and a capture sees them
 * leave. So one packet that left, anywhere, makes the answerer the service. Only a connection of which no
 * packet was seen to leave, and of which the kernel shows where it ended, was answered on the host.
 *
 * Linux shows a sent packet to the capture after its translation (POSTROUTING is before dev_queue_xmit), and
 * a received one before it (PREROUTING is behind netif_receive_skb): net/core/dev.c, net/ipv4/ip_output.c.
 */

/** The view of a capture on a client's packets to an endpoint in one network namespace. */
export interface Place {
  netns: number;
  /** Packets arrived on an interface other than the loopback. */
  arrived: boolean;
  /** Packets were sent on an interface other than the loopback. */
  left: boolean;
  looped: boolean;
}

/** The end of a connection by the kernel of the namespace in which its packets arrived and did not leave. */
export type ConnectionEnd = 'translated' | 'socket' | 'unknown';

/**
 * - `translation`: the kernel's connection tracking has another destination for it.
 * - `socket`: a socket of the host's own network namespace is its other end.
 * - `loopback`: its packets were seen on the loopback interface only.
 * - `departure`: a packet to the service's address left by another interface.
 * - `none`: the evidence does not decide. Then the service counts as the answerer.
 */
export type AnswererEvidence = 'translation' | 'socket' | 'loopback' | 'departure' | 'none';

export interface Answerer {
  by: 'service' | 'host';
  evidence: AnswererEvidence;
}

/**
 * `isCopied`: a flow with the same sequence numbers was seen with translated addresses and an endpoint as its
 * destination. `endIn` is asked at most once, for the namespace in which the connection seems to end.
 */
export function answererOf(
  places: readonly Place[],
  isCopied: boolean,
  endIn: (netns: number) => ConnectionEnd,
): Answerer {
  if (isCopied || places.some(({ left }) => left)) return { by: 'service', evidence: 'departure' };
  const [only, ...others] = places;
  if (only === undefined || others.length > 0) return { by: 'service', evidence: 'none' };
  if (!only.arrived) return { by: 'host', evidence: 'loopback' };
  if (only.looped) return { by: 'service', evidence: 'none' };
  const end = endIn(only.netns);
  if (end === 'translated') return { by: 'host', evidence: 'translation' };
  return end === 'socket' ? { by: 'host', evidence: 'socket' } : { by: 'service', evidence: 'none' };
}

/** More namespaces than the packets of one honest connection pass. */
const MAX_PLACES = 16;

/** Adds a client's packet to the places of its connection. */
export function recordPlace(places: Place[], netns: number, device: 'arrived' | 'left' | 'looped'): void {
  let place = places.find((known) => known.netns === netns);
  if (place === undefined) {
    place = { netns, arrived: false, left: false, looped: false };
    // Beyond the bound a packet counts for the last place: that one left must not be forgotten.
    if (places.length < MAX_PLACES) places.push(place);
    else place = places[MAX_PLACES - 1]!;
  }
  place[device] = true;
}
