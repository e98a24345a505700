/**
 * Sends alerts as JSON to a webhook. `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header: a quoted
 * string) is the alert's id, the same at every attempt. With a secret, `X-Imdswatch-Signature: sha256=HEX` is
 * the HMAC-SHA-256 of the body's bytes.
 */
import { createHmac } from 'node:crypto';
import type { Alert } from '../../contract/alert.ts';
import type { DestinationConfig } from '../../contract/destination.ts';
import type { Send } from './channel.ts';
import { post } from './post.ts';

/** Version of the body. A change that receivers must know about increases it. */
export const WEBHOOK_VERSION = 2;

export const sendWebhook: Send<Extract<DestinationConfig, { kind: 'webhook' }>> = (
  { url, secret },
  alert,
  context,
) => {
  const body = webhookBody(alert);
  const headers: Record<string, string> = { 'Idempotency-Key': `"${alert.id}"` };
  if (secret !== null) headers['X-Imdswatch-Signature'] = signature(body, secret);
  return post(url, body, headers, context);
};

export function webhookBody(alert: Alert): Buffer {
  return Buffer.from(JSON.stringify({ version: WEBHOOK_VERSION, ...alert }));
}

export function signature(body: Buffer, secret: string): string {
  return `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`;
}
