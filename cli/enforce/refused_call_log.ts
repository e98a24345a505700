/** Sums up refused calls for people: a client that retries would flood the audit log and the terminal. Pure. */
import type { EventOf } from '../../enforce/state/events.ts';

/** After its first entry a caller on a host gets at most one in this time. */
const BETWEEN_ENTRIES_MS = 60_000;

export interface RefusedCalls {
  host: string;
  caller: string;
  /** Refused calls that no entry had counted yet. */
  calls: number;
  /** Milliseconds since 1970. */
  firstMs: number;
  lastMs: number;
}

export class RefusedCallLog {
  /** By caller and host: when its last entry was written, and what came after that. */
  readonly #callers = new Map<string, { entryMs: number; waiting: RefusedCalls | null }>();

  /** Counts a call. Returns the entry to write now; null where the call is part of a later one. */
  note({ host, caller, at }: EventOf<'refused_call'>): RefusedCalls | null {
    const key = JSON.stringify([caller.id, host]);
    const known = this.#callers.get(key);
    const sum = known?.waiting ?? { host, caller: caller.title, calls: 0, firstMs: at, lastMs: at };
    const counted = { ...sum, calls: sum.calls + 1, lastMs: at };
    if (known !== undefined && at - known.entryMs < BETWEEN_ENTRIES_MS) {
      known.waiting = counted;
      return null;
    }
    this.#callers.set(key, { entryMs: at, waiting: null });
    return counted;
  }

  /** Returns the entries whose minute has passed. `nowMs` of infinity: all that wait, because no more calls follow. */
  due(nowMs: number): RefusedCalls[] {
    const found: RefusedCalls[] = [];
    for (const each of this.#callers.values()) {
      if (each.waiting === null || nowMs - each.entryMs < BETWEEN_ENTRIES_MS) continue;
      found.push(each.waiting);
      each.waiting = null;
      each.entryMs = nowMs;
    }
    return found;
  }
}

/** Returns what the audit log says of these calls. */
export function refusedCallsDetail({ host, caller, calls, firstMs, lastMs }: RefusedCalls): string {
  if (calls === 1) return `${caller} on ${host}`;
  const [first, last] = [firstMs, lastMs].map((ms) => new Date(ms).toISOString());
  return `${caller} on ${host}: ${calls} calls from ${first} to ${last}`;
}
