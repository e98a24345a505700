/** Sends JSON by one HTTP POST. */
import { checkStatus } from '../http/outcome.ts';
import type { ChannelContext } from './channel.ts';

export async function post(
  url: string,
  body: Buffer,
  headers: Record<string, string>,
  { connections, signal, now }: ChannelContext,
): Promise<void> {
  const answer = await connections.send({
    method: 'POST',
    url,
    headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
    body,
    wantsText: false,
    signal,
  });
  checkStatus(answer, now());
}
