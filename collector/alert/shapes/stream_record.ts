import type { Alert } from '../../contract/alert.ts';

/** One record of a stream. */
export interface StreamRecord {
  stream: 'alerts';
  alert: Alert;
}
