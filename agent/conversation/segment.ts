/** A TCP segment: what `conversation` works on, and what `decode` makes of a packet. */

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;
export const URG = 0x20;

export interface Segment {
  /** Microseconds since the Unix epoch when the packet was captured. */
  timeUs: number;
  sourceAddress: string;
  sourcePort: number;
  destinationAddress: string;
  destinationPort: number;
  /** Sequence number of the first payload byte (of the SYN itself where SYN is set), modulo 2^32. */
  seq: number;
  /** Acknowledgement number; meaningful where ACK is set. */
  ack: number;
  flags: number;
  window: number;
  /** TCP options as captured: with `seq` and `window` they tell one SYN from any other. */
  options: Uint8Array;
  /** A view into the capture buffer: copy what is kept. */
  payload: Uint8Array;
  /** Payload bytes that were on the wire behind `payload` and were not captured (snap length). */
  payloadCutBytes: number;
}
