/**
 * Decides what of the heartbeats of one connection is stored: each time when one arrived, and what it says only where
 * that is new or old. Pure.
 */
import { isLoss, lossesOf } from '../../protocol/losses.ts';
import type { Heartbeat } from '../../protocol/records.ts';
import { packHeartbeat } from '../store/packed_heartbeat.ts';
import type { HeardHost } from '../store/store.ts';
import { toMicroseconds } from '../store/time.ts';

/** With more hosts than this, counters that count no loss are stored once a minute only. */
const MANY_HOSTS = 1000;
const MANY_HOSTS_MS = 60_000;
/** Tolerates half of the interval at which agents ask themselves whether a heartbeat is due. */
const EARLY_MS = 5000;

export interface Hearing {
  /** `performance.now()`, and microseconds since 1970. */
  nowMs: number;
  nowUs: number;
  /** Hosts of the whole fleet. */
  hosts: number;
  silentAfterSeconds: number;
}

/** A host whose heartbeat is to be stored, and whether that must not wait for others. */
export interface Heard {
  host: HeardHost;
  isUrgent: boolean;
}

export class HeardAgent {
  #heardMs: number | null = null;
  #storedMs = Number.NEGATIVE_INFINITY;
  #news = '';

  onHeartbeat(heartbeat: Heartbeat, { nowMs, nowUs, hosts, silentAfterSeconds }: Hearing): Heard {
    const isFirst = this.#heardMs === null;
    // Its host may be about to count as silent, also where an earlier heartbeat still waits to be stored.
    const isLate = nowMs - (this.#heardMs ?? nowMs) > (silentAfterSeconds * 1000) / 2;
    this.#heardMs = nowMs;
    const news = newsOf(heartbeat);
    const hasNews = news !== this.#news;
    const everyMs = hosts > MANY_HOSTS ? MANY_HOSTS_MS - EARLY_MS : 0;
    const isDue = hasNews || nowMs - this.#storedMs >= everyMs;
    if (isDue) {
      this.#news = news;
      this.#storedMs = nowMs;
    }
    return {
      host: {
        hostId: heartbeat.host_id,
        heardUs: nowUs,
        firstUs: isFirst ? nowUs : null,
        said: isDue
          ? { timeUs: toMicroseconds(heartbeat.time), receivedUs: nowUs, body: packHeartbeat(heartbeat) }
          : null,
      },
      isUrgent: isFirst || isLate || hasNews,
    };
  }
}

/** Returns the part of a heartbeat that people must see at once: what is watched, how, and what was lost. */
function newsOf({ agent_version, started, coverage, attribution, counters, spool }: Heartbeat): string {
  const kept = Object.entries(counters['spool'] ?? {}).filter(([name]) => isLoss('spool', name));
  return JSON.stringify([
    agent_version,
    started,
    coverage,
    attribution,
    lossesOf(counters),
    kept,
    spool.overflowed,
  ]);
}
