/** One way out of the collector for an alert. */
import type { Alert } from '../../contract/administration.ts';
import type { Resolve } from '../guarded_connect.ts';

export const SEND_TIMEOUT_MS = 10_000;

export interface ChannelContext {
  resolve: Resolve;
  /** Ends the attempt: everything that it opened is closed. */
  signal: AbortSignal;
}

/**
 * Resolves when the other side has taken the alert (syslog over UDP: when it has left). Rejects with what went wrong.
 * The same alert may be sent again after that, and says so by the same id.
 */
export type Send<Config> = (config: Config, alert: Alert, context: ChannelContext) => Promise<void>;
