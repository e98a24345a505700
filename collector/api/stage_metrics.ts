/** Shows the counters of stages as metrics of Prometheus. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { StageCounters } from '../../protocol/records.ts';
import { OTHER_COUNTERS, STAGE_FAMILIES, type StageFamily, SUMS } from './stage_families.ts';

interface Place {
  metric: Counter | Gauge;
  labels: Record<string, string>;
}

export class StageMetrics {
  readonly #places = new Map<string, Place>();
  readonly #metrics: (Counter | Gauge)[] = [];
  readonly #withoutLabel: (Counter | Gauge)[] = [];
  readonly #others: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    for (const family of STAGE_FAMILIES) this.#add(family, registry);
    this.#others = new Gauge({
      name: OTHER_COUNTERS,
      help: 'Counters of stages that have no metric of their own.',
      labelNames: ['stage', 'counter'],
      registers,
    });
  }

  #add({ name, help, label, isLevel, values }: StageFamily, registry: Registry): void {
    const options = { name, help, labelNames: label === null ? [] : [label], registers: [registry] };
    const metric = isLevel ? new Gauge(options) : new Counter(options);
    this.#metrics.push(metric);
    if (label === null) this.#withoutLabel.push(metric);
    for (const [counter, value] of Object.entries(values)) {
      this.#places.set(counter, { metric, labels: label === null ? {} : { [label]: value } });
    }
  }

  put(stages: StageCounters): void {
    this.#others.reset();
    for (const metric of this.#metrics) metric.reset();
    // A stage that this collector does not have, such as TLS, must not show a zero.
    for (const metric of this.#withoutLabel) metric.remove();
    for (const [stage, counters] of Object.entries(stages)) {
      for (const [name, value] of Object.entries(counters)) this.#put(stage, name, value);
    }
  }

  #put(stage: string, name: string, value: number): void {
    const key = `${stage}.${name}`;
    if (SUMS.has(key)) return;
    const place = this.#places.get(key);
    if (place === undefined) this.#others.set({ stage, counter: name }, value);
    else if (place.metric instanceof Gauge) place.metric.set(place.labels, value);
    else place.metric.inc(place.labels, value);
  }
}
