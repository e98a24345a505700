/** Makes one attempt to send one alert to one destination, and describes its failure without secrets. */
import type { Alert } from '../contract/alert.ts';
import type { DestinationConfig } from '../contract/destination.ts';
import { type ChannelContext, SEND_TIMEOUT_MS } from './channels/channel.ts';
import { sendEmail } from './channels/email.ts';
import { sendSlack } from './channels/slack.ts';
import { sendSyslog } from './channels/syslog.ts';
import { sendWebhook } from './channels/webhook.ts';
import { type Failure, failureOf } from './failure.ts';
import { byNameService, type Resolve } from './guarded_connect.ts';
import { HttpConnections } from './http/connections.ts';

const MAX_ERROR_CHARACTERS = 300;
/** Shorter parts of a configuration occur in too many ordinary words to be masked. */
const MIN_SECRET_CHARACTERS = 4;

export interface SendOptions {
  resolve?: Resolve;
  timeoutMs?: number;
  /** Connections that are kept between attempts. Without them the attempt has its own. */
  connections?: HttpConnections;
  /** Milliseconds since 1970. */
  now?: () => number;
  /** Ends the attempt early when the collector stops. */
  signal?: AbortSignal;
}
export type SendResult = { ok: true } | ({ ok: false } & Failure);

/**
 * Never rejects. `error` holds no secret of the configuration, because logs, the API and the page show it.
 */
export async function send(
  config: DestinationConfig,
  alert: Alert,
  options: SendOptions = {},
): Promise<SendResult> {
  const { resolve = byNameService, timeoutMs = SEND_TIMEOUT_MS, signal: stop, now = Date.now } = options;
  const connections = options.connections ?? new HttpConnections(resolve);
  const timeout = AbortSignal.timeout(timeoutMs);
  const signal = stop === undefined ? timeout : AbortSignal.any([timeout, stop]);
  try {
    await sendByChannel(config, alert, { resolve, connections, now, signal });
    return { ok: true };
  } catch (error) {
    const again = { ok: false, next: 'again', retryAfterMs: null } as const;
    if (timeout.aborted) return { ...again, error: `no answer within ${timeoutMs / 1000} s` };
    if (stop?.aborted) return { ...again, error: 'the collector stopped before the alert was delivered' };
    const failure = failureOf(error);
    return { ok: false, ...failure, error: withoutSecrets(failure.error, config) };
  } finally {
    if (options.connections === undefined) connections.close();
  }
}

function sendByChannel(config: DestinationConfig, alert: Alert, context: ChannelContext): Promise<void> {
  switch (config.kind) {
    case 'webhook':
      return sendWebhook(config, alert, context);
    case 'slack':
      return sendSlack(config, alert, context);
    case 'syslog':
      return sendSyslog(config, alert, context);
    case 'email':
      return sendEmail(config, alert, context);
  }
}

/** Returns the address of a destination without secrets. The path of a webhook is a secret. */
export function targetOf(config: DestinationConfig): string {
  switch (config.kind) {
    case 'webhook':
    case 'slack': {
      const { protocol, host } = new URL(config.url);
      return `${protocol}//${host}/…`;
    }
    case 'syslog':
      return `${config.host}:${config.port} (${config.transport})`;
    case 'email':
      return `${config.to.join(', ')} by ${config.host}:${config.port}`;
  }
}

function withoutSecrets(text: string, config: DestinationConfig): string {
  let clean = text.replace(/[\s\x00-\x1f\x7f]+/g, ' ');
  for (const secret of secretsOf(config)) {
    if (secret.length >= MIN_SECRET_CHARACTERS) clean = clean.replaceAll(secret, '****');
  }
  return clean.slice(0, MAX_ERROR_CHARACTERS).toWellFormed();
}

/** Returns the longest first, because the path of a URL is a part of the URL. */
function secretsOf(config: DestinationConfig): string[] {
  switch (config.kind) {
    case 'webhook':
    case 'slack': {
      const url = new URL(config.url);
      const parts = [
        config.url,
        url.href,
        `${url.pathname}${url.search}`,
        url.pathname,
        url.search,
        url.password,
      ];
      return config.kind === 'webhook' && config.secret !== null ? [...parts, config.secret] : parts;
    }
    case 'syslog':
      return [];
    case 'email': {
      const { username, password } = config;
      if (password === null) return [];
      const plain = Buffer.from(`\0${username ?? ''}\0${password}`).toString('base64');
      return [plain, Buffer.from(password).toString('base64'), password];
    }
  }
}
