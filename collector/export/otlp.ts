/**
 * Log records of OpenTelemetry. These values are not sent as they are: `encodeOtlp` of `otlp_request.ts` makes requests of them.
 */
import { shapeOfEveryStream } from './every_stream.ts';
import { otlpCall } from './otlp_call.ts';
import { otlpAlert, otlpAudit, otlpFinding } from './otlp_records.ts';

export const otlp = shapeOfEveryStream('otlp', {
  alert: otlpAlert,
  call: otlpCall,
  finding: otlpFinding,
  audit: otlpAudit,
});
