/** Sends alerts by the presets that ship to a receiver of the test. */

import type { Resolve } from '../../../../collector/alert/guarded_connect.ts';
import { HttpSender } from '../../../../collector/alert/http/http_sender.ts';
import type { Alert } from '../../../../collector/contract/alert.ts';
import type { RequestDefinition } from '../../../../collector/contract/http_request.ts';

const LOOPBACK: Resolve = async () => [{ address: '127.0.0.1', family: 4 }];

export function senderOf(
  preset: string,
  values: Record<string, string>,
  request?: RequestDefinition,
  now = Date.now,
): Promise<HttpSender> {
  const config = { kind: 'http' as const, preset, values, ...(request === undefined ? {} : { request }) };
  return HttpSender.open(config, LOOPBACK, now);
}

/** Returns the body of the request for one alert, without sending it. */
export async function bodyOf(preset: string, values: Record<string, string>, alert: Alert): Promise<unknown> {
  const sender = await senderOf(preset, values);
  const text = sender.preview(alert);
  sender.close();
  return JSON.parse(text);
}
