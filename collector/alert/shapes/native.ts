/** The shape of docs/events.md: an alert with the version of its body. */
import type { BodyTree } from '../../contract/http_request.ts';
import type { StreamRecord } from './stream_record.ts';

/** Version of an alert's body. A change that receivers must know about increases it. */
export const ALERT_VERSION = 2;

export function nativeShape({ alert }: StreamRecord): BodyTree {
  return { version: ALERT_VERSION, ...alert };
}
