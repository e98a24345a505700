/** Sends rendered records to a receiver in one request, and reads what it says about them. */
import { createHash, createHmac } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { JsonObject } from '../../export/json.ts';
import { decodeOtlpAnswer, encodeOtlp, type OtlpFormat } from '../../export/otlp_request.ts';
import { DeliveryError, type Resolve } from '../guarded_connect.ts';
import { Authorization } from './authorization.ts';
import { batchBody, contentType } from './batch_body.ts';
import { failedInBulk } from './bulk_answer.ts';
import { HttpConnections } from './connections.ts';
import { checkHecAnswer } from './hec_answer.ts';
import { checkStatus } from './outcome.ts';
import { ALL_TAKEN, type PartialAnswer } from './partial_answer.ts';
import type { OneRequest, PreparedRequest } from './prepared.ts';

const compressed = promisify(gzip);

/** A record as it is sent: its body, and the address, which may depend on it. */
export interface Rendered {
  request: OneRequest;
  url: string;
  body: Buffer;
  /** The record in its shape. OTLP puts many of them into one message. */
  value: JsonObject;
}

export class HttpExchange {
  readonly #prepared: PreparedRequest;
  readonly #connections: HttpConnections;
  readonly #authorization: Authorization;
  readonly #now: () => number;

  constructor(prepared: PreparedRequest, resolve: Resolve, now: () => number) {
    this.#prepared = prepared;
    this.#connections = new HttpConnections(resolve, prepared.certificate);
    this.#authorization = new Authorization(prepared.auth, this.#connections, now);
    this.#now = now;
  }

  close(): void {
    this.#connections.close();
  }

  /**
   * `rendered`: at least one record, all to the same address. `ids`: those of the records, which are the same at every
   * attempt. Rejects with the cause where the receiver has not accepted the request.
   */
  async send(
    rendered: readonly [Rendered, ...Rendered[]],
    ids: readonly string[],
    signal: AbortSignal,
  ): Promise<PartialAnswer> {
    const { batch, signWith, gzip: isCompressed, answer: how } = this.#prepared;
    const format = otlpFormat(batch.form);
    const plain =
      format === null
        ? batchBody(
            rendered.map(({ body }) => body),
            batch,
          )
        : Buffer.from(
            await encodeOtlp(
              rendered.map(({ value }) => value),
              format,
            ),
          );
    if (plain.length > batch.max_bytes) {
      const bytes = `${plain.length} bytes, and the receiver takes ${batch.max_bytes}`;
      throw new DeliveryError(`the request has ${bytes}`, { next: 'refused' });
    }
    const { url, request } = rendered[0];
    const headers = {
      'Content-Type': contentType(batch),
      'Idempotency-Key': `"${idOf(ids)}"`,
      ...request.headers,
      ...(isCompressed ? { 'Content-Encoding': 'gzip' } : {}),
      ...(signWith === '' ? {} : { 'X-Imdswatch-Signature': signature(plain, signWith) }),
    };
    const body = isCompressed ? await compressed(plain) : plain;
    const exchange = async () =>
      this.#connections.send({
        ...{ method: request.method, url, body, signal, wantsText: how !== 'status' || format !== null },
        headers: { ...headers, ...(await this.#authorization.headers(signal)) },
      });
    let answer = await exchange();
    // A token can be revoked before its time.
    if (answer.status === 401 && this.#authorization.renew()) answer = await exchange();
    if (how === 'splunk_hec') checkHecAnswer(answer, this.#now());
    else checkStatus(answer, this.#now());
    if (how === 'elastic_bulk') {
      return { ...ALL_TAKEN, failed: failedInBulk(answer.text, rendered.length, this.#now()) };
    }
    return format === null ? ALL_TAKEN : { ...ALL_TAKEN, ...(await decodeOtlpAnswer(answer.bytes, format)) };
  }
}

export function otlpFormat(form: PreparedRequest['batch']['form']): OtlpFormat | null {
  if (form === 'otlp_protobuf') return 'protobuf';
  return form === 'otlp_json' ? 'json' : null;
}

/** The same at every attempt. */
function idOf(ids: readonly string[]): string {
  if (ids.length === 1) return ids[0]!;
  return createHash('sha256').update(ids.join()).digest('hex');
}

function signature(body: Buffer, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}
