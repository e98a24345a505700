/**
 * Remembers the records behind a cursor that need not be sent again: the receiver has taken or refused each of them, and a
 * record before them waits. It is kept in memory. After a restart they are sent again with the same ids, and a receiver that
 * names records knows those that it has.
 */
import { decisive } from '../alert/http/partial_answer.ts';
import type { FailedRecord, Outgoing } from '../alert/http/stream_request.ts';

/**
 * Records that are refused one after the other. Beyond it the cause is not one record: the destination is blocked, and no more
 * records are given up.
 */
const MAX_REFUSED = 20;

export function tooManyRefused(error: string): string {
  return `${MAX_REFUSED} records were refused one after the other: ${error}`;
}

export class SettledRecords {
  /** Why each was refused, by its position; null where it was taken. */
  readonly #settled = new Map<number, string | null>();
  #inARow = 0;

  /** Returns the records that are still to be sent. Those without a body are not. */
  openOf(records: readonly Outgoing[]): Outgoing[] {
    return records.filter(({ position, rendered }) => rendered.length > 0 && !this.#settled.has(position));
  }

  /** Counts a record that was refused alone. Returns whether too many were, one after the other, and begins anew then. */
  isTooMany(): boolean {
    this.#inARow += 1;
    if (this.#inARow <= MAX_REFUSED) return false;
    this.#inARow = 0;
    return true;
  }

  /**
   * Notes what became of records that were sent in one request. Returns the failure where some must be sent again, else null.
   */
  settle(
    sent: readonly Outgoing[],
    failed: readonly FailedRecord[],
  ): Pick<FailedRecord, 'error' | 'next'> | null {
    const byPosition = new Map(failed.map((each) => [each.position, each]));
    const refused: FailedRecord[] = [];
    let isTooMany = false;
    for (const { position } of sent) {
      const failure = byPosition.get(position);
      if (failure === undefined) {
        this.#settled.set(position, null);
        this.#inARow = 0;
      } else if (failure.next === 'refused') {
        refused.push(failure);
        isTooMany = this.isTooMany() || isTooMany;
      }
    }
    if (isTooMany) return { error: tooManyRefused(refused[0]!.error), next: 'blocked' };
    for (const { position, error } of refused) this.#settled.set(position, error);
    const left = failed.filter(({ next }) => next !== 'refused');
    const first = decisive(left);
    if (first === undefined) return null;
    return { error: `${left.length} of ${sent.length} records: ${first.error}`, next: first.next };
  }

  /** Returns why records of these were refused, one text for each. */
  refusedOf(records: readonly Outgoing[]): string[] {
    return records.flatMap(({ position }) => this.#settled.get(position) ?? []);
  }

  /** Forgets records up to a position, which the cursor has passed. */
  forget(upTo: number): void {
    for (const position of this.#settled.keys()) if (position <= upTo) this.#settled.delete(position);
  }
}
