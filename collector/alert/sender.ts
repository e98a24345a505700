/** The interface by which alerts are delivered to one destination, whatever its kind. */
import type { Alert } from '../contract/alert.ts';

export interface Sender {
  /** Texts that must be in no error, log or answer, the longest first. */
  readonly secrets: readonly string[];
  /** Alerts that one request can have. */
  readonly maxItems: number;
  /** Open alerts are sent again this often; null: never. */
  readonly resendSeconds: number | null;
  /** Returns how many of the first alerts go into the next request; at least one. */
  countOf(alerts: readonly Alert[]): number;
  /**
   * Sends alerts in one request. Resolves when the receiver has accepted them (syslog over UDP: when they were sent).
   * Rejects with the cause otherwise. The same alerts may be sent again later, with the same ids.
   */
  send(alerts: readonly Alert[], signal: AbortSignal): Promise<void>;
  /** Closes connections that are kept. */
  close(): void;
}
