/** The parts of the collector that an agent's connection uses. */
import type { Pace } from '../../protocol/frames.ts';
import type { Backlog } from './backlog.ts';
import type { ConnectionLimits } from './flow_control.ts';
import type { HandshakeContext } from './handshake.ts';
import type { Heard, Hearing } from './heard_agent.ts';
import type { HostShares } from './host_shares.ts';
import type { IngestStore, Writer } from './writer.ts';

export interface ConnectionContext extends HandshakeContext {
  store: IngestStore;
  writer: Writer;
  backlog: Backlog;
  shares: HostShares;
  limits: ConnectionLimits;
  /** Returns what agents are told about their pace now. */
  pace: () => Pace;
  /** Returns the facts that decide whether a heartbeat that arrives now is stored at once, and all of it. */
  hearing: () => Hearing;
  onHeard: (heard: Heard) => void;
  /**
   * Called once the agent has named its stream. Returns false where a connection of another host sends this
   * stream.
   */
  claimStream: () => boolean;
  /** Called when this connection was given the credential of its host. */
  onEnrolled: () => void;
}
