/** Parts of questions that several of them share: parameters, spans of hours and days, and the choice of hosts. */
import { HOUR_US, type Window } from '../../contract/window.ts';

/** Collects the values of a statement. */
export class SqlParameters {
  readonly values: unknown[] = [];

  /** Adds a value, and returns the text that stands for it. */
  add(value: unknown): string {
    this.values.push(value);
    return `$${this.values.length}`;
  }
}

/** A span of whole hours or whole days since 1970. */
export interface Span {
  unit: 'hour' | 'day';
  from: number;
  /** Exclusive. */
  to: number;
}

/** Splits the hours that a window touches into its whole days, and the hours that are left at either end. */
export function spansOf({ sinceUs, untilUs }: Window, hoursOnly = false): Span[] {
  const from = Math.floor(bounded(sinceUs) / HOUR_US);
  const to = Math.ceil(bounded(untilUs) / HOUR_US);
  if (from >= to) return [];
  const firstDay = Math.ceil(from / 24);
  const lastDay = Math.floor(to / 24);
  if (hoursOnly || firstDay >= lastDay) return [{ unit: 'hour', from, to }];
  const spans: Span[] = [
    { unit: 'hour', from, to: firstDay * 24 },
    { unit: 'day', from: firstDay, to: lastDay },
    { unit: 'hour', from: lastDay * 24, to },
  ];
  return spans.filter((span) => span.from < span.to);
}

/** Cuts a time to whole microseconds that a number can hold: a window that is open has `Infinity`. */
export function bounded(us: number): number {
  return Math.floor(Math.max(Number.MIN_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, us)));
}

/** Hosts that a question is about: a condition on a column of host numbers; null where all are chosen. */
export type ChosenHosts = ((parameters: SqlParameters, column: string) => string) | null;

export function hostCondition(parameters: SqlParameters, column: string, hosts: ChosenHosts): string | null {
  return hosts === null ? null : hosts(parameters, column);
}

/** Returns a condition on a column of workload numbers; null where all are chosen. */
export function identityCondition(
  parameters: SqlParameters,
  column: string,
  identities: readonly string[] | null,
): string | null {
  if (identities === null) return null;
  return `${column} IN (SELECT id FROM identities WHERE key = ANY (${parameters.add(identities)}))`;
}

/** Joins the conditions that there are. */
export function all(...conditions: (string | null)[]): string {
  const present = conditions.filter((condition) => condition !== null);
  return present.length === 0 ? 'TRUE' : present.join(' AND ');
}
