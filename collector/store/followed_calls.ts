/**
 * Gives calls in the order of their arrival to readers that keep their positions themselves. Notes of arrivals are kept for
 * them as long as the calls, until nobody has read for as long as calls are kept. So the collector knows no reader, and a
 * reader that was away for less than the retention loses nothing.
 */
import type { Call } from '../../protocol/call.ts';
import type { FollowedCall } from '../contract/followed_calls.ts';
import type { ArrivalStore } from './arrivals.ts';
import { toTimestamp } from './time.ts';

/** It is stored at most this often that calls are followed. */
const NOTE_US = 60_000_000;
/** Characters of the calls of one page. An ordinary call has some 2,000, one with many long arguments 100,000. */
const MAX_PAGE_CHARACTERS = 8_000_000;
const NO_ID = '-';

/** A place between two calls, with what is needed to find out whether it is still the same place. */
export interface FollowCursor {
  /** When the notes were begun that the position belongs to (microseconds since 1970). */
  sinceUs: number;
  position: number;
  /** Id of the call at the position, as hexadecimal digits; `-` where there is none. */
  id: string;
}

export interface FollowedPage {
  calls: FollowedCall[];
  next: FollowCursor;
  /** Calls between the cursor and `next` that were deleted before they were read. */
  deleted: number;
  /** Calls that wait behind `next`. */
  waiting: number;
}

/** The place is not known any more, so that it cannot be said which calls come after it. */
export class LostPlaceError extends Error {}

export class FollowedCalls {
  readonly #store: ArrivalStore;
  readonly #offenderOf: (call: Call) => string;
  readonly #nowUs: () => number;
  readonly #maxCharacters: number;
  #followed: { atUs: number; sinceUs: number } | null = null;

  /** `offenderOf`: returns the id of a call's workload. */
  constructor(
    store: ArrivalStore,
    offenderOf: (call: Call) => string,
    { nowUs = () => Date.now() * 1000, maxCharacters = MAX_PAGE_CHARACTERS } = {},
  ) {
    this.#store = store;
    this.#offenderOf = offenderOf;
    this.#nowUs = nowUs;
    this.#maxCharacters = maxCharacters;
  }

  /** Returns a page without calls, whose `next` is the end: calls that are stored from now on come after it. */
  async begin(): Promise<FollowedPage> {
    const sinceUs = await this.#follow(true);
    const { last } = await this.#store.arrivalsBehind(0);
    const { ends } = await this.#store.arrivals(Math.max(0, last - 1), 1);
    const next = { sinceUs, position: last, id: ends?.[1].id ?? NO_ID };
    return { calls: [], next, deleted: 0, waiting: 0 };
  }

  /** Returns the calls behind a place, at most `limit`. Throws `LostPlaceError`. */
  async page(after: FollowCursor, limit: number): Promise<FollowedPage> {
    const sinceUs = await this.#follow(false);
    if (after.sinceUs !== sinceUs) throw new LostPlaceError(notNotedText(after.sinceUs, sinceUs));
    const { position, id } = after;
    const { last } = await this.#store.arrivalsBehind(position);
    if (last < position) throw new LostPlaceError(RESTORED);
    // The call at the position is read as well, where there is one, to compare it.
    const from = Math.max(0, position - 1);
    const { calls, positions, storedUs, next, ends } = await this.#store.arrivals(from, limit + 1);
    if (ends !== null && ends[0].position === position && id !== NO_ID && ends[0].id !== id)
      throw new LostPlaceError(RESTORED);
    const found: FollowedCall[] = [];
    let reached = ends === null || next <= position ? after : { sinceUs, position: next, id: ends[1].id };
    let characters = 0;
    for (const [at, call] of calls.entries()) {
      if (positions[at]! <= position) continue;
      characters += JSON.stringify(call).length;
      // One call more than is wanted was read where the one at the position is gone.
      if (found.length === limit || (characters > this.#maxCharacters && found.length > 0)) {
        const before = found.at(-1)!;
        reached = { sinceUs, position: positions[at - 1]!, id: before.id.replaceAll('-', '') };
        break;
      }
      found.push({ ...call, offender: this.#offenderOf(call), stored: toTimestamp(storedUs[at]!) });
    }
    return {
      calls: found,
      next: reached,
      deleted: reached.position - position - found.length,
      waiting: Math.max(0, last - reached.position),
    };
  }

  /** Returns when the notes of now were begun. */
  async #follow(isNow: boolean): Promise<number> {
    const nowUs = this.#nowUs();
    const known = this.#followed;
    if (!isNow && known !== null && Math.abs(nowUs - known.atUs) < NOTE_US) return known.sinceUs;
    const sinceUs = await this.#store.followArrivals(nowUs);
    this.#followed = { atUs: nowUs, sinceUs };
    return sinceUs;
  }
}

const RESTORED =
  "The collector's data is not that which the position belongs to: it was restored from a backup, or a standby took over that had less. It cannot be said which calls come after the position.";

function notNotedText(wereUs: number, areUs: number): string {
  const [were, are] = [wereUs, areUs].map((us) => `${toTimestamp(us).slice(0, 19)}Z`);
  return `The order of arrival has been noted since ${are}, and the position is of the notes that were begun at ${were}: nobody read calls in this order for as long as calls are kept, or the collector's data is another one. Calls that were stored in between have no place in the order.`;
}

export function followCursorText({ sinceUs, position, id }: FollowCursor): string {
  return `${sinceUs}.${position}.${id}`;
}

/** Returns null where the text is no cursor. */
export function parseFollowCursor(text: string): FollowCursor | null {
  const match = /^(\d{1,16})\.(\d{1,15})\.([0-9a-f]{32}|-)$/.exec(text);
  if (match === null) return null;
  return { sinceUs: Number(match[1]), position: Number(match[2]), id: match[3]! };
}
