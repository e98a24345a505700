/** The interface of a source of packets: a live capture through `cap`, or a capture file. */
import type { Counters } from '../../protocol/records.ts';
import type { LinkType } from '../decode/link_type.ts';

export interface Packet {
  /** Valid only during the call of the handler: the next packets overwrite the capture buffer. */
  data: Uint8Array;
  linkType: LinkType;
  /** Microseconds since the Unix epoch, by the clock of the kernel that captured it. */
  timeUs: number;
  /** Inode number of the network namespace in which it was captured; absent for a capture file. */
  netns?: number;
  /** Length of the packet on the wire; more than `data.length` if the capture cut it. */
  wireLength: number;
}

/** Receives the packets that were read together, oldest first. */
export type PacketHandler = (packets: readonly Packet[]) => void;

export interface PacketSource {
  /** A name for people and the heartbeat: `any`, `eth0`, the path of a file. */
  readonly name: string;
  /** Starts to deliver packets. Throws `OperatorError` if that is not possible. */
  start(handler: PacketHandler): void;
  stop(): void;
  /** States whether packets would reach the handler now. */
  readonly live: boolean;
  counters(): Counters;
}
