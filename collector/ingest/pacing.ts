/** Decides what a collector tells its agents about their pace, which depends on the number of connected agents. Pure. */

/** The interval of agents that are told nothing. */
const USUAL_HEARTBEAT_SECONDS = 10;
const MAX_HEARTBEAT_SECONDS = 60;
/** Heartbeats of all agents together, per second. */
const HEARTBEATS_PER_SECOND = 100;
/** A host is not silent before this number of heartbeats is missing. */
export const MISSING_HEARTBEATS = 3;
/** Agents that connect to one collector per second after all of them lost it. */
const RECONNECTIONS_PER_SECOND = 500;
const MAX_RECONNECT_SECONDS = 120;

export interface PaceSettings {
  /** Null for the default, which grows from 10 s with 1,000 agents to 60 s with 6,000. */
  heartbeatSeconds: number | null;
  /** Time without a heartbeat after which a host is silent. */
  silentAfterSeconds: number;
}

export interface Pace {
  heartbeat_seconds?: number;
  reconnect_seconds?: number;
}

/**
 * Returns the fields of the welcome. Those whose value is the usual one are left out.
 */
export function paceOf(connections: number, { heartbeatSeconds, silentAfterSeconds }: PaceSettings): Pace {
  const most = Math.min(MAX_HEARTBEAT_SECONDS, silentAfterSeconds / MISSING_HEARTBEATS);
  const byNumber = Math.min(most, Math.ceil(connections / HEARTBEATS_PER_SECOND));
  const heartbeat = heartbeatSeconds ?? byNumber;
  const reconnect = Math.min(MAX_RECONNECT_SECONDS, Math.floor(connections / RECONNECTIONS_PER_SECOND));
  return {
    ...((heartbeatSeconds !== null || heartbeat > USUAL_HEARTBEAT_SECONDS) && {
      heartbeat_seconds: heartbeat,
    }),
    ...(reconnect >= 1 && { reconnect_seconds: reconnect }),
  };
}
