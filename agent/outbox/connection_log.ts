/**
 * Logs how the connection to the collector is. Each state is logged when it begins, so a collector that is
 * away for a day is two lines and not thousands.
 */
import type { Logger } from 'pino';
import { PROTOCOL_VERSION } from '../../protocol/frames.ts';

export class ConnectionLog {
  readonly #collector: string;
  readonly #log: Logger;
  #state: 'new' | 'connected' | 'down' | 'refused' = 'new';
  /** Version of the protocol on this connection or the last. */
  #protocol: number | null = null;
  /** Number of refusals, logged or not. */
  refusals = 0;

  constructor(collector: string, log: Logger) {
    this.#collector = collector;
    this.#log = log;
  }

  /** True if the collector's last answer was a refusal that only an operator can end. */
  get isRefused(): boolean {
    return this.#state === 'refused';
  }

  logConnected(): void {
    if (this.#state !== 'connected') this.#log.info({ collector: this.#collector }, 'connected');
    this.#state = 'connected';
  }

  /** Logs the version of the protocol that the collector has chosen, if it is an older one. */
  logProtocol(protocol: number): void {
    if (protocol < PROTOCOL_VERSION && this.#protocol !== protocol) {
      this.#log.info(
        { collector_speaks: protocol, agent_speaks: PROTOCOL_VERSION },
        'the collector is older than this agent: speaking its version of the protocol',
      );
    }
    this.#protocol = protocol;
  }

  /** Logs a refusal that only an operator can end. */
  logRefusal(message: string): void {
    this.refusals += 1;
    if (!this.isRefused) this.#log.error(message);
    this.#state = 'refused';
  }

  logLost(reason: string): void {
    if (this.#state === 'down' || this.isRefused) return;
    this.#log.warn(
      { collector: this.#collector, reason },
      'no connection to the collector; records stay in the spool',
    );
    this.#state = 'down';
  }
}
