/**
 * Metrics of the streams of records, by destination. A collector counts what it has sent itself, so that the collectors that
 * share a database are added up. The one that sends shows what waits.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { StreamState } from '../contract/stream_state.ts';

const LABELS = ['destination', 'stream'];

export class StreamMetrics {
  readonly #sent: Counter;
  readonly #attemptsFailed: Counter;
  readonly #givenUp: Counter;
  readonly #deleted: Counter;
  readonly #waiting: Gauge;
  readonly #secondsBehind: Gauge;

  constructor(registry: Registry) {
    const registers = [registry];
    const counter = (name: string, help: string, labelNames = LABELS) =>
      new Counter({ name: `imdswatch_${name}`, help, labelNames, registers });
    const gauge = (name: string, help: string) =>
      new Gauge({ name: `imdswatch_${name}`, help, labelNames: LABELS, registers });
    this.#sent = counter('stream_records_sent_total', 'Records of streams that a destination has accepted.');
    this.#attemptsFailed = counter(
      'stream_attempts_failed_total',
      'Requests with records of streams that failed. Their records wait, or the request is divided.',
    );
    this.#givenUp = counter(
      'stream_records_given_up_total',
      'Records of streams that a destination did not get, by reason: it refused them one by one, it took only a part of a request (OTLP), a template could not be filled, or the shape has no form for them.',
      [...LABELS, 'reason'],
    );
    this.#deleted = counter(
      'stream_records_deleted_total',
      'Records of streams that retention deleted before they could be sent.',
    );
    this.#waiting = gauge(
      'stream_waiting_records',
      'Records of streams that wait for a destination, shown by the collector that sends.',
    );
    this.#secondsBehind = gauge(
      'stream_behind_seconds',
      'Time that the first record that waits for a destination has waited; 0 where none waits. Shown by the collector that sends.',
    );
  }

  put(streams: readonly StreamState[]): void {
    const counters = [this.#sent, this.#attemptsFailed, this.#givenUp, this.#deleted];
    for (const metric of [...counters, this.#waiting, this.#secondsBehind]) metric.reset();
    for (const { name: destination, stream, counts, waiting } of streams) {
      const labels = { destination, stream };
      this.#sent.inc(labels, counts.sent);
      this.#attemptsFailed.inc(labels, counts.attempts_failed);
      this.#givenUp.inc({ ...labels, reason: 'refused' }, counts.given_up_refused);
      this.#givenUp.inc({ ...labels, reason: 'partial_success' }, counts.given_up_partial);
      this.#givenUp.inc({ ...labels, reason: 'template' }, counts.given_up_template);
      this.#givenUp.inc({ ...labels, reason: 'no_form' }, counts.unfit);
      this.#deleted.inc(labels, counts.deleted_unsent);
      if (waiting === null) continue;
      this.#waiting.set(labels, waiting.records);
      this.#secondsBehind.set(labels, waiting.seconds);
    }
  }
}
