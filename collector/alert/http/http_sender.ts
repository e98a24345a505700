/** Sends alerts to a generic HTTP destination: one request, or one for many alerts. */
import { OperatorError } from '../../../common/operator_error.ts';
import type { Alert } from '../../contract/alert.ts';
import type { HttpConfig } from '../../contract/destination.ts';
import { shapeOf } from '../../export/shapes.ts';
import { byNameService, type Resolve } from '../guarded_connect.ts';
import type { Sender } from '../sender.ts';
import { fitting } from './batch_body.ts';
import { HttpDestination } from './http_destination.ts';
import type { Rendered } from './http_exchange.ts';
import { refusePartial } from './partial_answer.ts';
import { type PreparedRequest, prepare } from './prepared.ts';
import { render } from './render.ts';
import { templateValues } from './template_values.ts';

export class HttpSender extends HttpDestination implements Sender {
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

  get resendSeconds(): number | null {
    return this.prepared.resendSeconds;
  }

  /** Returns the body of one alert as it would be sent; empty where it is not sent. */
  preview(alert: Alert): string {
    return this.#render(alert)?.body.toString() ?? '';
  }

  countOf(alerts: readonly Alert[]): number {
    try {
      const bodies = this.#rendered(alerts).map(({ body }) => body);
      return bodies.length === 0 ? 1 : fitting(bodies, this.prepared.batch);
    } catch {
      // The attempt to send it says why.
      return 1;
    }
  }

  /** Alerts whose end the receiver does not take are accepted without a request. */
  async send(alerts: readonly Alert[], signal: AbortSignal): Promise<void> {
    const [first, ...others] = this.#rendered(alerts);
    if (first === undefined) return;
    const ids = alerts.map(({ id }) => id);
    refusePartial(await this.exchange.send([first, ...others], ids, signal));
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
    const { firing, resolved, values, shape } = this.prepared;
    const request = alert.state === 'resolved' ? resolved : firing;
    if (request === null) return null;
    const [value] = shapeOf(shape).toValues({ stream: 'alerts', alert });
    if (value === undefined) return null;
    return render(this.prepared, request, value, () => templateValues(alert, value, values));
  }
}
