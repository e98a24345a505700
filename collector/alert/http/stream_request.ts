/** Makes the requests of a destination of a stream: records to values, values to bodies, bodies to requests. */
import { OperatorError } from '../../../common/operator_error.ts';
import type { HttpConfig } from '../../contract/destination.ts';
import type { StreamName } from '../../contract/export.ts';
import type { ExportItem } from '../../export/item.ts';
import { shapeOf } from '../../export/shapes.ts';
import { byNameService, DeliveryError, type Resolve } from '../guarded_connect.ts';
import { fitting } from './batch_body.ts';
import { HttpDestination } from './http_destination.ts';
import type { Rendered } from './http_exchange.ts';
import { ALL_TAKEN, decisive, type FailedValue, type PartialAnswer } from './partial_answer.ts';
import { type PreparedRequest, prepare } from './prepared.ts';
import { factsOf, recordValues } from './record_values.ts';
import { render } from './render.ts';

/** A record with what is sent for it: nothing where its shape cannot express it. */
export interface Outgoing {
  position: number;
  id: string;
  rendered: readonly Rendered[];
  /** Bytes of all bodies. */
  bytes: number;
  /** The error of a template that cannot be filled for this record; null where all is well. */
  error: string | null;
}

/** A record that the receiver did not take. */
export interface FailedRecord extends Omit<FailedValue, 'place'> {
  position: number;
}

/** Describes what the receiver did not take of the records of a request. */
export interface StreamAnswer extends Omit<PartialAnswer, 'failed'> {
  failed: readonly FailedRecord[];
}

export class StreamRequest extends HttpDestination {
  /** Throws `OperatorError` where the configuration is wrong. `now`: milliseconds since 1970. */
  static async open(
    config: HttpConfig,
    stream: StreamName,
    resolve: Resolve,
    now: () => number,
  ): Promise<StreamRequest> {
    return new StreamRequest(await prepare(config, stream), resolve, now);
  }

  /** Throws `OperatorError` (2) where a template cannot be filled for a record. */
  static check(prepared: PreparedRequest, item: ExportItem): void {
    const request = new StreamRequest(prepared, byNameService, Date.now);
    try {
      const { error } = request.outgoing(item, 0);
      if (error !== null) throw new OperatorError(2, `The destination is wrong: ${error}. Correct it.`);
    } finally {
      request.close();
    }
  }

  /** Microseconds that a record may wait for others. */
  get maxWaitUs(): number {
    const { batch } = this.prepared;
    return batch.form === 'single' ? 0 : batch.max_seconds * 1e6;
  }

  outgoing(item: ExportItem, position: number): Outgoing {
    const { firing, shape, values } = this.prepared;
    const { id } = factsOf(item);
    try {
      const rendered = shapeOf(shape)
        .toValues(item)
        .map((value) => render(this.prepared, firing, value, () => recordValues(item, value, values)));
      const bytes = rendered.reduce((sum, { body }) => sum + body.length, 0);
      return { position, id, rendered, bytes, error: null };
    } catch (error) {
      if (!(error instanceof DeliveryError)) throw error;
      return { position, id, rendered: [], bytes: 0, error: error.message };
    }
  }

  /**
   * Returns how many of the first records go into one request; at least one. A record that makes several values is not divided.
   */
  countOf(records: readonly Outgoing[]): number {
    const { batch } = this.prepared;
    const url = records.find(({ rendered }) => rendered.length > 0)?.rendered[0]?.url;
    let [values, bytes, count] = [0, 0, 0];
    for (const record of records) {
      const isElsewhere = record.rendered.some((each) => each.url !== url);
      values += record.rendered.length;
      bytes += record.bytes;
      const isTooMuch =
        fitting(
          record.rendered.map(({ body }) => body),
          batch,
        ) < record.rendered.length;
      if (count > 0 && (isElsewhere || isTooMuch || values > this.maxItems || bytes > batch.max_bytes * 0.9))
        break;
      count += 1;
    }
    return Math.max(1, count);
  }

  /** Sends records in one request. Rejects with the cause where the receiver has not accepted it. */
  async send(records: readonly Outgoing[], signal: AbortSignal): Promise<StreamAnswer> {
    const [first, ...others] = records.flatMap(({ rendered }) => rendered);
    if (first === undefined) return { ...ALL_TAKEN, failed: [] };
    const ids = records.map(({ id }) => id);
    const answer = await this.exchange.send([first, ...others], ids, signal);
    return { ...answer, failed: failedRecords(records, answer.failed) };
  }
}

/** Returns the records of values that failed. A record whose values failed differently has the failure that can be mended. */
function failedRecords(records: readonly Outgoing[], failed: readonly FailedValue[]): FailedRecord[] {
  if (failed.length === 0) return [];
  const byPlace = new Map(failed.map((each) => [each.place, each]));
  let place = 0;
  return records.flatMap(({ position, rendered }) => {
    const found = decisive(rendered.flatMap(() => byPlace.get(place++) ?? []));
    return found === undefined ? [] : [{ position, error: found.error, next: found.next }];
  });
}
