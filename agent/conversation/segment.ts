/** A TCP segment: `decode` makes it of a packet, and `conversation` works on it. */
import type { FlowTuple } from '../flow.ts';

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;
export const URG = 0x20;

/**
 * The interface of a packet: it arrived on one, it left by one, or it was on the loopback, where each packet
 * is sent and received at once.
 */
export type Device = 'arrived' | 'left' | 'looped';

export interface Segment {
  /** When the packet was captured, in microseconds since the Unix epoch. */
  timeUs: number;
  sourceAddress: string;
  sourcePort: number;
  destinationAddress: string;
  destinationPort: number;
  /** Sequence number of the first payload byte, or of the SYN itself if SYN is set, modulo 2^32. */
  seq: number;
  /** Acknowledgement number; it has a meaning only if ACK is set. */
  ack: number;
  flags: number;
  /**
   * Time to live of IPv4 or hop limit of IPv6, as captured. Every router that forwards a packet lowers it by one
   * (RFC 791, section 3.2; RFC 8200, section 3).
   */
  hopLimit: number;
  window: number;
  /** TCP options as captured. With `seq` and `window` they distinguish one SYN from any other. */
  options: Uint8Array;
  /** A view into the capture buffer. Copy the bytes to keep them. */
  payload: Uint8Array;
  /** The interface on which a cooked capture saw the packet; absent if the capture does not say it. */
  device?: Device;
  /** The number of payload bytes behind `payload` that were on the wire and not captured (snap length). */
  payloadCutBytes: number;
}

/** Returns the connection of a segment, as its client has it. */
export function clientFlowOf(segment: Segment, fromClient: boolean): FlowTuple {
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = segment;
  return fromClient
    ? {
        localAddress: sourceAddress,
        localPort: sourcePort,
        remoteAddress: destinationAddress,
        remotePort: destinationPort,
      }
    : {
        localAddress: destinationAddress,
        localPort: destinationPort,
        remoteAddress: sourceAddress,
        remotePort: sourcePort,
      };
}
