/** The rows that the calls of one transaction refer to, looked up once for each template of its calls. */
import { isFuture } from './future_records.ts';
import type { Kinds, TemplateRow } from './kinds.ts';
import type { PackedCalls } from './packed_batch.ts';

export class TemplateRows {
  readonly #kinds: Kinds;
  readonly #templates: PackedCalls['templates'];
  /** Time of the latest call of each template. */
  readonly #lastUs: number[];
  readonly #rows: (TemplateRow | null)[];
  /** Rows that depend on the host, because it is beyond a bound. */
  readonly #ofHosts = new Map<string, TemplateRow>();

  constructor(kinds: Kinds, calls: PackedCalls, nowUs: number) {
    this.#kinds = kinds;
    this.#templates = calls.templates;
    this.#rows = calls.templates.map(() => null);
    this.#lastUs = latestTimes(calls, nowUs);
  }

  rowFor(template: number, host: number): TemplateRow {
    const known = this.#rows[template] ?? this.#ofHosts.get(`${host} ${template}`);
    if (known !== undefined) return known;
    const row = this.#kinds.templateRow(this.#templates[template]!, host, this.#lastUs[template]!);
    if (row.isExact) this.#rows[template] = row;
    else this.#ofHosts.set(`${host} ${template}`, row);
    return row;
  }
}

/** Times that lie ahead of the clock count as now. */
function latestTimes({ templates, templateOf, timesUs }: PackedCalls, nowUs: number): number[] {
  const lastUs = templates.map(() => Number.NEGATIVE_INFINITY);
  for (let at = 0; at < timesUs.length; at += 1) {
    const template = templateOf[at]!;
    const timeUs = isFuture(timesUs[at]!, nowUs) ? nowUs : timesUs[at]!;
    if (timeUs > lastUs[template]!) lastUs[template] = timeUs;
  }
  return lastUs;
}
