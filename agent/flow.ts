/**
 * One TCP connection to a metadata endpoint, named by its four addresses and ports as the client's own socket
 * has them: `local` is the client, `remote` the endpoint. Addresses are canonical text (IPv4 dotted, IPv6 as
 * in RFC 5952).
 */
export interface FlowTuple {
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
}

/** Bytes of one direction of a connection, by the sequence numbers of the first and the last one. */
export interface ByteRange {
  first: number;
  last: number;
}

/** Returns a string that is the same for equal tuples only. */
export function keyOf({ localAddress, localPort, remoteAddress, remotePort }: FlowTuple): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}

/** Returns whether two tuples name the same connection. */
export function isSameFlow(a: FlowTuple, b: FlowTuple): boolean {
  return (
    a.localPort === b.localPort &&
    a.remotePort === b.remotePort &&
    a.localAddress === b.localAddress &&
    a.remoteAddress === b.remoteAddress
  );
}
