/** Makes one attempt to send alerts to one destination, and describes its failure without secrets. */
import { OperatorError } from '../../common/operator_error.ts';
import type { Alert } from '../contract/alert.ts';
import type { DestinationConfig } from '../contract/destination.ts';
import { SEND_TIMEOUT_MS } from './channels/channel.ts';
import { type Failure, failureOf } from './failure.ts';
import { byNameService, type Resolve } from './guarded_connect.ts';
import { openSender } from './open_sender.ts';
import type { Sender } from './sender.ts';

const MAX_ERROR_CHARACTERS = 300;
/** Shorter parts of a configuration occur in too many ordinary words to be masked. */
const MIN_SECRET_CHARACTERS = 4;

export interface SendOptions {
  resolve?: Resolve;
  timeoutMs?: number;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Ends the attempt early when the collector stops. */
  signal?: AbortSignal;
}
export type SendResult = { ok: true } | ({ ok: false } & Failure);

/** Sends one alert on connections of its own. Never rejects. */
export async function send(
  config: DestinationConfig,
  alert: Alert,
  options: SendOptions = {},
): Promise<SendResult> {
  const opened = await openSafely(config, options);
  if (!('send' in opened)) return { ok: false, ...opened };
  try {
    return await sendBy(opened, [alert], options);
  } finally {
    opened.close();
  }
}

/** Returns the failure where the configuration is wrong. */
export async function openSafely(
  config: DestinationConfig,
  { resolve = byNameService, now = Date.now }: SendOptions,
): Promise<Sender | Failure> {
  try {
    return await openSender(config, resolve, now);
  } catch (error) {
    if (!(error instanceof OperatorError)) return failureOf(error);
    return { error: error.message, next: 'blocked', retryAfterMs: null };
  }
}

/**
 * Never rejects. `error` holds no secret of the configuration, because logs, the API and the page show it.
 */
export async function sendBy(
  sender: Sender,
  alerts: readonly Alert[],
  { timeoutMs = SEND_TIMEOUT_MS, signal: stop }: SendOptions,
): Promise<SendResult> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = stop === undefined ? timeout : AbortSignal.any([timeout, stop]);
  try {
    await sender.send(alerts, signal);
    return { ok: true };
  } catch (error) {
    const again = { ok: false, next: 'again', retryAfterMs: null } as const;
    if (timeout.aborted) return { ...again, error: `no answer within ${timeoutMs / 1000} s` };
    if (stop?.aborted) return { ...again, error: 'the collector stopped before the alert was delivered' };
    const failure = failureOf(error);
    return { ok: false, ...failure, error: withoutSecrets(failure.error, sender.secrets) };
  }
}

/** Returns the text in one line, without secrets and bounded. */
export function withoutSecrets(text: string, secrets: readonly string[]): string {
  let clean = text.replace(/[\s\x00-\x1f\x7f]+/g, ' ');
  for (const secret of secrets) {
    if (secret.length >= MIN_SECRET_CHARACTERS) clean = clean.replaceAll(secret, '****');
  }
  return clean.slice(0, MAX_ERROR_CHARACTERS).toWellFormed();
}
