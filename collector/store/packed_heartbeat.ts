/** Heartbeats as they are stored: compressed JSON, a quarter of its size. */
import { deflateRawSync, inflateRawSync } from 'node:zlib';
import type { Heartbeat } from '../../protocol/records.ts';
import type { HeardHost } from './store.ts';
import { toMicroseconds } from './time.ts';

/**
 * A stored heartbeat that arrived so much later than now is by a clock that was wrong: one that arrives now replaces it.
 */
export const MAX_AHEAD_US = 60_000_000;

/** zlib allocates memory for each compression in proportion to the window, and a heartbeat has some 5 kB. */
const OPTIONS = { level: 1, memLevel: 5, windowBits: 13, chunkSize: 4096 };

export function packHeartbeat(heartbeat: Heartbeat): Uint8Array {
  return packHeartbeatText(JSON.stringify(heartbeat));
}

export function packHeartbeatText(json: string): Uint8Array {
  // A copy has a buffer of its own: that of zlib is larger, and would be sent to the store's thread with it.
  return new Uint8Array(deflateRawSync(json, OPTIONS));
}

export function unpackHeartbeat(body: Uint8Array): Heartbeat {
  return JSON.parse(inflateRawSync(body).toString('utf8')) as Heartbeat;
}

/** Returns the first heartbeat that arrives from an agent, as all of it is stored. */
export function heardHost(heartbeat: Heartbeat, receivedUs: number): HeardHost {
  return {
    hostId: heartbeat.host_id,
    heardUs: receivedUs,
    firstUs: receivedUs,
    said: { timeUs: toMicroseconds(heartbeat.time), receivedUs, body: packHeartbeat(heartbeat) },
  };
}
