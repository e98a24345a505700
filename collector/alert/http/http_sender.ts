/** Sends records to a generic HTTP destination: one request, or one for many records. */
import { createHash, createHmac } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { OperatorError } from '../../../common/operator_error.ts';
import type { Alert } from '../../contract/alert.ts';
import type { HttpConfig } from '../../contract/destination.ts';
import { shapeOf } from '../../export/shapes.ts';
import { byNameService, DeliveryError, type Resolve } from '../guarded_connect.ts';
import type { Sender } from '../sender.ts';
import { Authorization } from './authorization.ts';
import { batchBody, contentType, fitting } from './batch_body.ts';
import { checkBulkAnswer } from './bulk_answer.ts';
import { HttpConnections } from './connections.ts';
import { checkStatus } from './outcome.ts';
import { type OneRequest, type PreparedRequest, prepare } from './prepared.ts';
import { templateValues } from './template_values.ts';

const compressed = promisify(gzip);

/** An alert as it is sent: its body, and the address, which may depend on it. */
interface Rendered {
  request: OneRequest;
  url: string;
  body: Buffer;
}

export class HttpSender implements Sender {
  readonly #prepared: PreparedRequest;
  readonly #connections: HttpConnections;
  readonly #authorization: Authorization;
  readonly #now: () => number;

  private constructor(prepared: PreparedRequest, resolve: Resolve, now: () => number) {
    this.#prepared = prepared;
    this.#connections = new HttpConnections(resolve, prepared.certificate);
    this.#authorization = new Authorization(prepared.auth, this.#connections, now);
    this.#now = now;
  }

  static async open(config: HttpConfig, resolve: Resolve, now: () => number): Promise<HttpSender> {
    return new HttpSender(await prepare(config), resolve, now);
  }

  /** Throws `OperatorError` (2) where a template cannot be filled. */
  static check(prepared: PreparedRequest, alert: Alert): void {
    const sender = new HttpSender(prepared, byNameService, Date.now);
    try {
      for (const state of ['firing', 'resolved'] as const) sender.preview({ ...alert, state });
    } catch (error) {
      throw new OperatorError(2, `The destination is wrong: ${(error as Error).message}. Correct it.`);
    } finally {
      sender.close();
    }
  }

  get secrets(): readonly string[] {
    return this.#prepared.secrets;
  }

  get maxItems(): number {
    const { batch } = this.#prepared;
    return batch.form === 'single' ? 1 : batch.max_items;
  }

  get resendSeconds(): number | null {
    return this.#prepared.resendSeconds;
  }

  close(): void {
    this.#connections.close();
  }

  /** Returns the body of one alert as it would be sent; empty where it is not sent. */
  preview(alert: Alert): string {
    return this.#render(alert)?.body.toString() ?? '';
  }

  countOf(alerts: readonly Alert[]): number {
    try {
      const bodies = this.#rendered(alerts).map(({ body }) => body);
      return bodies.length === 0 ? 1 : fitting(bodies, this.#prepared.batch);
    } catch {
      // The attempt to send it says why.
      return 1;
    }
  }

  /** Alerts whose end the receiver does not take are accepted without a request. */
  async send(alerts: readonly Alert[], signal: AbortSignal): Promise<void> {
    const rendered = this.#rendered(alerts);
    const [first] = rendered;
    if (first === undefined) return;
    const { batch, signWith, gzip: isCompressed, answer: how } = this.#prepared;
    const plain = batchBody(
      rendered.map(({ body }) => body),
      batch,
    );
    if (plain.length > batch.max_bytes) {
      const bytes = `${plain.length} bytes, and the receiver takes ${batch.max_bytes}`;
      throw new DeliveryError(`the request has ${bytes}`, { next: 'refused' });
    }
    const headers = {
      'Content-Type': contentType(batch),
      'Idempotency-Key': `"${idOf(alerts)}"`,
      ...first.request.headers,
      ...(isCompressed ? { 'Content-Encoding': 'gzip' } : {}),
      ...(signWith === '' ? {} : { 'X-Imdswatch-Signature': signature(plain, signWith) }),
    };
    const body = isCompressed ? await compressed(plain) : plain;
    const { url, request } = first;
    const exchange = async () =>
      this.#connections.send({
        ...{ method: request.method, url, body, signal, wantsText: how !== 'status' },
        headers: { ...headers, ...(await this.#authorization.headers(signal)) },
      });
    let answer = await exchange();
    // A token can be revoked before its time.
    if (answer.status === 401 && this.#authorization.renew()) answer = await exchange();
    checkStatus(answer, this.#now());
    if (how === 'elastic_bulk') checkBulkAnswer(answer.text, this.#now());
  }

  /** Renders the first alerts that can go to the same address. Throws for the first one alone. */
  #rendered(alerts: readonly Alert[]): Rendered[] {
    const rendered: Rendered[] = [];
    for (const alert of alerts.slice(0, this.maxItems)) {
      try {
        const one = this.#render(alert);
        if (one === null || (rendered.length > 0 && one.url !== rendered[0]!.url)) break;
        rendered.push(one);
      } catch (error) {
        if (rendered.length === 0) throw error;
        break;
      }
    }
    return rendered;
  }

  #render(alert: Alert): Rendered | null {
    const { templates, firing, resolved, values, shape, action } = this.#prepared;
    const request = alert.state === 'resolved' ? resolved : firing;
    if (request === null) return null;
    const [record] = shapeOf(shape).toValues({ stream: 'alerts', alert });
    if (record === undefined) return null;
    const seen = templateValues(alert, record, values);
    const json = (tree: Parameters<typeof templates.tree>[0]) =>
      JSON.stringify(templates.tree(tree, seen) ?? null);
    const body = request.body === null ? JSON.stringify(record) : json(request.body);
    const text = action === null ? body : `${json(action)}\n${body}`;
    return { request, url: this.#urlOf(request, seen), body: Buffer.from(text) };
  }

  #urlOf({ url: base, path, query }: OneRequest, seen: Record<string, unknown>): string {
    if (path.length === 0 && Object.keys(query).length === 0) return base;
    const { templates } = this.#prepared;
    const url = new URL(base);
    const segments = path.map((each) => segmentOf(templates.text(each, seen)));
    if (segments.length > 0) url.pathname = `${url.pathname.replace(/\/$/, '')}/${segments.join('/')}`;
    for (const [name, each] of Object.entries(query)) url.searchParams.set(name, templates.text(each, seen));
    return url.href;
  }
}

function segmentOf(text: string): string {
  // These would lead to another path.
  if (/^\.{0,2}$/.test(text))
    throw new DeliveryError('a part of the path is empty or dots', { next: 'refused' });
  return encodeURIComponent(text.toWellFormed());
}

/** The same at every attempt. */
function idOf(alerts: readonly Alert[]): string {
  if (alerts.length === 1) return alerts[0]!.id;
  return createHash('sha256')
    .update(alerts.map(({ id }) => id).join())
    .digest('hex');
}

function signature(body: Buffer, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}
