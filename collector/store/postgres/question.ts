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

/** Hosts that a question is about; null where all are chosen. */
export type ChosenHosts = {
  /** Returns a condition on a column of host numbers. */
  condition: (parameters: SqlParameters, column: string) => string;
  /** True where the numbers of the hosts lie close together, such as those of a page of all hosts. */
  areNeighbours: boolean;
} | null;

/** A range of numbers with at most so many times the wanted ones is read as a whole. */
const MAX_SPREAD = 1.5;

/** Chooses hosts by their numbers, which must be ascending. */
export function hostsOfNumbers(numbers: readonly number[]): ChosenHosts {
  const [first, last] = [numbers[0], numbers.at(-1)];
  const among = (parameters: SqlParameters, column: string) =>
    `${column} = ANY (${parameters.add(numbers)}::bigint[])`;
  if (first === undefined || last === undefined || last - first >= MAX_SPREAD * numbers.length) {
    return { condition: among, areNeighbours: false };
  }
  return {
    condition: (parameters, column) => {
      const range = `${column} BETWEEN ${parameters.add(first)} AND ${parameters.add(last)}`;
      // An expression keeps the database from looking each number up in an index.
      return last - first + 1 === numbers.length
        ? range
        : `${range} AND ${among(parameters, `(${column} + 0)`)}`;
    },
    areNeighbours: true,
  };
}

export function hostCondition(parameters: SqlParameters, column: string, hosts: ChosenHosts): string | null {
  return hosts === null ? null : hosts.condition(parameters, column);
}

/**
 * Returns a condition on the hours or days of a table of sums. Those of neighbours are listed one by one: in the index of
 * hours or days, each of them has the rows of these hosts together.
 */
export function spanCondition(
  parameters: SqlParameters,
  table: string,
  { unit, from, to }: Span,
  hosts: ChosenHosts,
): string {
  const [since, until] = [parameters.add(from), parameters.add(to)];
  if (hosts?.areNeighbours !== true) return `${unit} >= ${since} AND ${unit} < ${until}`;
  // A window that is open at an end has more days than a list can have.
  return `${unit} = ANY (ARRAY(SELECT generate_series(
      greatest(${since}::integer, (SELECT min(${unit}) FROM ${table})),
      least(${until}::integer - 1, (SELECT max(${unit}) FROM ${table})))))`;
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
