/** Describes what a receiver did not take of a request that it has accepted. */
import { DeliveryError, type Next } from '../guarded_connect.ts';

export interface FailedValue {
  /** Place of the value in the request. */
  place: number;
  /** It holds no secret. */
  error: string;
  next: Next;
}

export interface PartialAnswer {
  /** Records that the receiver does not name, and will never take (OTLP: partial success). */
  rejected: number;
  /** The receiver's own text about the request; empty where it has none. It may hold secrets. */
  message: string;
  /** Records that it names (`_bulk`), in their order. */
  failed: readonly FailedValue[];
}

export const ALL_TAKEN: PartialAnswer = { rejected: 0, message: '', failed: [] };

/** Returns the failure that decides about the whole request: one that can be mended before one that cannot. */
export function decisive<T extends Pick<FailedValue, 'next'>>(failed: readonly T[]): T | undefined {
  for (const next of ['blocked', 'again', 'refused'] as const) {
    const found = failed.find((each) => each.next === next);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Throws `DeliveryError` where the receiver did not take everything. */
export function refusePartial({ rejected, message, failed }: PartialAnswer): void {
  const first = decisive(failed);
  if (first !== undefined) throw new DeliveryError(first.error, { next: first.next });
  // The receiver does not say which: they are sent one by one, and a receiver recognises those that it has.
  if (rejected > 0) {
    throw new DeliveryError(`the receiver took all but ${rejected}: ${message}`, { next: 'refused' });
  }
}
