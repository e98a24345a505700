/**
 * Sends JSON by one HTTP POST on a connection of its own. It follows no redirects, because they could lead
 * anywhere.
 */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { VERSION } from '../../../common/version.ts';
import { allowedAddresses, DeliveryError, lookupOf, raceSignal } from '../guarded_connect.ts';
import type { ChannelContext } from './channel.ts';

export async function post(
  to: string,
  body: Buffer,
  headers: Record<string, string>,
  { resolve, signal }: ChannelContext,
): Promise<void> {
  const url = new URL(to);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const addresses = await raceSignal(signal, allowedAddresses(host, resolve));
  const { promise, resolve: answered, reject } = Promise.withResolvers<number>();
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)({
    host,
    port: url.port,
    path: `${url.pathname}${url.search}`,
    method: 'POST',
    ...(url.username === ''
      ? {}
      : { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` }),
    headers: {
      'Content-Type': 'application/json; charset=utf-8',
      'Content-Length': String(body.length),
      'User-Agent': `imdswatch/${VERSION}`,
      ...headers,
    },
    agent: false,
    lookup: lookupOf(addresses),
    signal,
  });
  request.on('error', reject);
  request.once('response', (response) => {
    answered(response.statusCode ?? 0);
    // The body of the answer is not read.
    response.destroy();
  });
  request.end(body);
  const status = await promise;
  if (status >= 200 && status < 300) return;
  throw new DeliveryError(
    status >= 300 && status < 400
      ? `the receiver answered HTTP ${status}: redirects are not followed, set the final URL`
      : `the receiver answered HTTP ${status}`,
  );
}
