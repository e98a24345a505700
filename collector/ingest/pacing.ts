/** Decides what a collector tells its agents about their pace, which depends on how many there are. Pure. */
import type { Pace } from '../../protocol/frames.ts';

/** The interval of agents that are told nothing. */
const USUAL_HEARTBEAT_SECONDS = 10;
const MAX_HEARTBEAT_SECONDS = 60;
/** Heartbeats of the agents of one collector, per second. */
const HEARTBEATS_OF_COLLECTOR = 100;
/** Heartbeats of all agents of a store, per second: those of 100,000 agents once a minute. */
const HEARTBEATS_OF_FLEET = 100_000 / MAX_HEARTBEAT_SECONDS;
/** A host is not silent before this number of heartbeats is missing. */
export const MISSING_HEARTBEATS = 3;
/** Agents that connect to one collector per second after all of them lost it. */
const RECONNECTIONS_PER_SECOND = 500;
const MAX_RECONNECT_SECONDS = 120;
/** An interval that differs by less is not told again. */
const TOLERANCE = 0.1;

export interface PaceSettings {
  /** Null for the default, which grows with the number of agents. */
  heartbeatSeconds: number | null;
  /** Time without a heartbeat after which a host is silent. */
  silentAfterSeconds: number;
}

export interface Agents {
  /** Agents that are connected to this collector. */
  connections: number;
  /** Hosts that were heard lately by all collectors of the store. */
  fleet: number;
}

/**
 * Returns what agents are told. Fields whose value is the usual one are left out. An agent that waits for both
 * intervals is back before its host is silent.
 */
export function paceOf(
  { connections, fleet }: Agents,
  { heartbeatSeconds, silentAfterSeconds }: PaceSettings,
): Pace {
  const most = silentAfterSeconds / MISSING_HEARTBEATS;
  const byNumber = Math.max(
    Math.ceil(connections / HEARTBEATS_OF_COLLECTOR),
    Math.ceil(fleet / HEARTBEATS_OF_FLEET),
  );
  const heartbeat = heartbeatSeconds ?? Math.min(MAX_HEARTBEAT_SECONDS, most, byNumber);
  const reconnect = Math.min(
    MAX_RECONNECT_SECONDS,
    Math.floor(most),
    Math.floor(connections / RECONNECTIONS_PER_SECOND),
  );
  return {
    ...((heartbeatSeconds !== null || heartbeat > USUAL_HEARTBEAT_SECONDS) && {
      heartbeat_seconds: heartbeat,
    }),
    ...(reconnect >= 1 && { reconnect_seconds: reconnect }),
  };
}

/** Tells whether an agent that follows `told` must be told `pace`. */
export function isOtherPace(told: Pace, pace: Pace): boolean {
  return (
    differ(told.heartbeat_seconds, pace.heartbeat_seconds) ||
    differ(told.reconnect_seconds, pace.reconnect_seconds)
  );
}

function differ(before = 0, after = 0): boolean {
  return Math.abs(after - before) > TOLERANCE * Math.max(before, after);
}
