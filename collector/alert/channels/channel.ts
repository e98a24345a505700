/** The base of channels that send one alert at a time, on a connection of its own. */
import type { Alert } from '../../contract/alert.ts';
import type { Resolve } from '../guarded_connect.ts';
import type { Sender } from '../sender.ts';

export const SEND_TIMEOUT_MS = 10_000;

export interface ChannelContext {
  resolve: Resolve;
  /** Ends the attempt. Everything that it opened is closed then. */
  signal: AbortSignal;
}

export abstract class Channel<Config> implements Sender {
  abstract readonly secrets: readonly string[];
  readonly maxItems = 1;
  readonly resendSeconds = null;
  protected readonly config: Config;
  readonly #resolve: Resolve;

  constructor(config: Config, resolve: Resolve) {
    this.config = config;
    this.#resolve = resolve;
  }

  countOf(): number {
    return 1;
  }

  async send(alerts: readonly Alert[], signal: AbortSignal): Promise<void> {
    for (const alert of alerts) await this.sendOne(alert, { resolve: this.#resolve, signal });
  }

  close(): void {
    // Nothing is kept between alerts.
  }

  protected abstract sendOne(alert: Alert, context: ChannelContext): Promise<void>;
}
