/** Sends alerts by the presets that ship to a receiver of the test. */
import type { Resolve } from '../../../../collector/alert/guarded_connect.ts';
import { HttpSender } from '../../../../collector/alert/http/http_sender.ts';
import type { Alert } from '../../../../collector/contract/alert.ts';
import type { RequestDefinition } from '../../../../collector/contract/http_request.ts';

const LOOPBACK: Resolve = async () => [{ address: '127.0.0.1', family: 4 }];

/** A key of PagerDuty. */
export const KEY = 'R'.repeat(32);

/** Returns the values of a preset whose receiver is at `url`. All secrets begin with `T0PSECRET`. */
export function valuesOf(preset: string, url: string): Record<string, string> {
  const values: Record<string, Record<string, string>> = {
    pagerduty: { url: `${url}/v2/enqueue`, routing_key: KEY },
    opsgenie: { url: `${url}/v2/alerts`, api_key: 'T0PSECRETKEY' },
    jira: { url, email: 'ada@example.com', api_token: 'T0PSECRETTOKEN', project: 'SEC' },
    servicenow: { url, username: 'u', password: 'T0PSECRET' },
    splunk: { url, token: 'T0PSECRETTOKEN' },
    otlp: { url: `${url}/v1/logs`, bearer_token: 'T0PSECRETTOKEN' },
    datadog: { url, api_key: 'T0PSECRETKEY' },
    elastic: { url, api_key: 'T0PSECRETKEY' },
    sentinel: {
      ...{ endpoint: url, login_url: url, rule_id: `dcr-${'0'.repeat(32)}`, tenant_id: 'tenant' },
      ...{ client_id: 'client', client_secret: 'T0PSECRET' },
    },
  };
  return values[preset] ?? { url };
}

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
