/** Hands the agents of a collector that ends over to others, one after the other. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Share of the time in which nothing is closed yet: the load balancer learns meanwhile that this collector is
 * not ready, and sends the agents elsewhere. It is bounded.
 */
const NOTICE_SHARE = 1 / 3;
const MAX_NOTICE_MS = 15_000;
/** Time that one connection may take for its acknowledgements. */
const HAND_OVER_MS = 5_000;

export interface Connection {
  /** Resolves when everything received is acknowledged, after `graceMs` at the latest, and closes then. */
  handOver(graceMs: number): Promise<void>;
}

/** Returns when to close each of `count` connections, in milliseconds from the begin of the drain. */
export function closingTimes(count: number, forMs: number): number[] {
  const noticeMs = Math.min(MAX_NOTICE_MS, forMs * NOTICE_SHARE);
  return Array.from({ length: count }, (_, index) => noticeMs + ((forMs - noticeMs) * index) / count);
}

/**
 * Closes the connections, spread over `forMs`, so that their agents do not arrive elsewhere all at once.
 * Resolves when all are closed, at most `HAND_OVER_MS` later.
 */
export async function drain(connections: readonly Connection[], forMs: number): Promise<void> {
  const beganMs = performance.now();
  const leaving: Promise<void>[] = [];
  for (const [index, dueMs] of closingTimes(connections.length, forMs).entries()) {
    const waitMs = beganMs + dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    leaving.push(connections[index]!.handOver(HAND_OVER_MS));
  }
  await Promise.all(leaving);
}
