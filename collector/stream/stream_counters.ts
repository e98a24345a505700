/** Counts what happened to the records of all streams since the start of this process. */
const NAMES = [
  'sent',
  'attempts_failed',
  'given_up_refused',
  'given_up_template',
  'given_up_partial',
  'unfit',
  'deleted_unsent',
  'rounds_failed',
] as const;

export type StreamCounter = (typeof NAMES)[number];

export class StreamCounters {
  readonly #counts = Object.fromEntries(NAMES.map((name) => [name, 0])) as Record<StreamCounter, number>;

  add(name: StreamCounter, count: number): void {
    this.#counts[name] += count;
  }

  all(): Record<StreamCounter, number> {
    return { ...this.#counts };
  }
}
