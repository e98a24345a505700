/** Makes one attempt to send a test record to a destination of a stream, on connections of its own. */
import { OperatorError } from '../../common/operator_error.ts';
import type { HttpConfig } from '../contract/destination.ts';
import type { ExportItem } from '../export/item.ts';
import { SEND_TIMEOUT_MS } from './channels/channel.ts';
import { failureOf } from './failure.ts';
import { byNameService } from './guarded_connect.ts';
import { StreamRequest } from './http/stream_request.ts';
import { type SendOptions, type SendResult, withoutSecrets } from './send.ts';

/** Never rejects. The error holds no secret. */
export async function sendTestRecord(
  config: HttpConfig,
  item: ExportItem,
  { resolve = byNameService, now = Date.now, timeoutMs = SEND_TIMEOUT_MS }: SendOptions,
): Promise<SendResult> {
  let request: StreamRequest;
  try {
    request = await StreamRequest.open(config, item.stream, resolve, now);
  } catch (error) {
    if (!(error instanceof OperatorError)) return { ok: false, ...failureOf(error) };
    return { ok: false, error: error.message, next: 'blocked', retryAfterMs: null };
  }
  const refused = (error: string) => ({ ok: false, error, next: 'refused', retryAfterMs: null }) as const;
  const timeout = AbortSignal.timeout(timeoutMs);
  try {
    const outgoing = request.outgoing(item, 0);
    if (outgoing.error !== null) return refused(outgoing.error);
    if (outgoing.rendered.length === 0) return refused('the shape cannot express the test record');
    const { rejected, message, failed } = await request.send([outgoing], timeout);
    const [first] = failed;
    if (first !== undefined) return { ok: false, ...first, retryAfterMs: null };
    if (rejected === 0) return { ok: true };
    return refused(withoutSecrets(`the receiver did not take it: ${message}`, request.secrets));
  } catch (error) {
    if (timeout.aborted) {
      return {
        ok: false,
        error: `no answer within ${timeoutMs / 1000} s`,
        next: 'again',
        retryAfterMs: null,
      };
    }
    const failure = failureOf(error);
    return { ok: false, ...failure, error: withoutSecrets(failure.error, request.secrets) };
  } finally {
    request.close();
  }
}
