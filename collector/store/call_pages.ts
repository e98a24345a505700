/** Pages raw calls, newest first, for both stores: chooses the walks over indexes, merges their rows, and makes cursors. */
import type { Call, HostFacts } from '../../protocol/call.ts';
import { callFrom } from './call_parts.ts';
import { fromBytes, toBytes } from './sqlite/uuid_bytes.ts';
import type { CallFilter } from './store.ts';
import type { CallerFacts } from './workload_identity.ts';

/**
 * Rows that one question may read. A page that would need more ends early, with a cursor that goes on from
 * there.
 */
const MAX_SCANNED = 100_000;
/** For more workloads or hosts than this all calls are read, and the others are filtered out. */
export const MAX_WALKS = 8;
/** Characters of the descriptions of processes on one page. An ordinary process has some 1,500. */
const MAX_PAGE_CHARACTERS = 8_000_000;

export interface Position {
  timeUs: number;
  id: Uint8Array;
}

/** One way through the calls: those of a workload, those of a host, or all by time. */
export interface Walk {
  column: 'identity' | 'host' | null;
  value: number | null;
}

/** A row of calls that is joined with what it refers to. */
export interface FoundCall {
  row: Record<string, unknown>;
  at: Position;
}

/** Merges the rows of all walks into one page. */
export class CallPage {
  /** Rows that each walk may read. */
  readonly scan: number;
  readonly #limit: number;
  readonly #maxCharacters: number;
  readonly #found: FoundCall[] = [];
  /** The newest position at which a walk ended early. Calls beyond it may be missing. */
  #horizon: Position | null = null;

  constructor(walks: readonly Walk[], limit: number) {
    this.#limit = limit;
    this.scan = Math.floor(MAX_SCANNED / walks.length);
    this.#maxCharacters = MAX_PAGE_CHARACTERS / walks.length;
  }

  /**
   * Takes the rows of a walk, newest first, until its share of the page is full. Returns true if the rows ended before:
   * then `endAt` is to be told the last row that the walk may read.
   */
  take(rows: Iterable<FoundCall>): boolean {
    let taken = 0;
    let characters = 0;
    for (const found of rows) {
      this.#found.push(found);
      taken += 1;
      characters += String(found.row['facts']).length;
      if (characters > this.#maxCharacters) {
        if (taken <= this.#limit) this.endAt(found.at);
        return false;
      }
    }
    return taken <= this.#limit;
  }

  /** Notes where a walk ended early; null where it read all of its rows. */
  endAt(end: Position | null): void {
    if (end !== null && (this.#horizon === null || compare(end, this.#horizon) > 0)) this.#horizon = end;
  }

  /** Returns the page and the cursor of the following one. */
  finish(): { calls: Call[]; next: string | null } {
    const horizon = this.#horizon;
    this.#found.sort((a, b) => compare(b.at, a.at));
    const within = horizon === null ? this.#found : this.#found.filter(({ at }) => compare(at, horizon) >= 0);
    const page = within.slice(0, this.#limit);
    const next = within.length > this.#limit ? page.at(-1)!.at : horizon;
    return { calls: page.map(({ row }) => callOf(row)), next: next === null ? null : toCursor(next) };
  }
}

/** Chooses the index that the calls are read by: (workload, time), (host, time), or all calls by time. */
export function walksOf(identities: number[] | null, hosts: number[] | null): Walk[] {
  if (identities !== null && identities.length <= MAX_WALKS) {
    return identities.map((value) => ({ column: 'identity', value }));
  }
  if (hosts !== null && hosts.length <= MAX_WALKS) return hosts.map((value) => ({ column: 'host', value }));
  return [{ column: null, value: null }];
}

/** Returns the pattern of LIKE for a substring. The wildcards % and _ are escaped by a backslash. */
export function likePattern(text: string): string {
  return `%${text.replaceAll(/[\\%_]/g, '\\$&')}%`;
}

/** Makes a call of a row of calls that is joined with what it refers to. */
function callOf(row: Record<string, unknown>): Call {
  const facts = JSON.parse(String(row['facts'])) as CallerFacts;
  return callFrom(row, facts, JSON.parse(String(row['host_facts'])) as HostFacts);
}

export function startOf({ window }: CallFilter): Position {
  return { timeUs: Math.min(window.untilUs, Number.MAX_SAFE_INTEGER), id: new Uint8Array(0) };
}

/** Orders positions by time, then by id. */
function compare(a: Position, b: Position): number {
  return a.timeUs - b.timeUs || Buffer.compare(a.id, b.id);
}

function toCursor({ timeUs, id }: Position): string {
  return `${timeUs}.${fromBytes(id)}`;
}

export function parseCursor(cursor: string): Position {
  const match = /^(-?\d{1,16})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/.exec(cursor);
  if (match === null) throw new RangeError('The cursor is not valid. Use the cursor of the page before.');
  return { timeUs: Number(match[1]), id: toBytes(match[2]!) };
}
