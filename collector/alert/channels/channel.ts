/** The interface of a channel: the code that sends alerts by e-mail, Slack, syslog or webhook. */
import type { Alert } from '../../contract/alert.ts';
import type { Resolve } from '../guarded_connect.ts';
import type { HttpConnections } from '../http/connections.ts';

export const SEND_TIMEOUT_MS = 10_000;

export interface ChannelContext {
  resolve: Resolve;
  /** Connections of this destination. */
  connections: HttpConnections;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Ends the attempt. Everything that it opened is closed then. */
  signal: AbortSignal;
}

/**
 * Sends one alert. Resolves when the receiver has accepted it (syslog over UDP: when it was sent). Rejects
 * with the cause otherwise. The same alert may be sent again later, with the same id.
 */
export type Send<Config> = (config: Config, alert: Alert, context: ChannelContext) => Promise<void>;
