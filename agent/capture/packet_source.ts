/** Where packets come from: a live interface through `cap`, or a capture file. */
import type { Counters } from '../../protocol/records.ts';
import type { LinkType } from '../decode/link_type.ts';

export interface Packet {
  /** Valid only during the handler's call: the capture buffer is overwritten by the next packet. */
  data: Uint8Array;
  linkType: LinkType;
  /** Microseconds since the Unix epoch, UTC. */
  timeUs: number;
  /** Bytes that the packet had on the wire; more than `data.length` when the capture cut it short. */
  wireLength: number;
}

export interface PacketSource {
  /** For humans and the heartbeat: `any`, `eth0`, a file's path. */
  readonly name: string;
  /** Begins to deliver. Throws `CaptureError` when it cannot. */
  start(handler: (packet: Packet) => void): void;
  stop(): void;
  /** Whether packets would reach the handler now. */
  readonly live: boolean;
  counters(): Counters;
}
