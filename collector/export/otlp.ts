/**
 * Log records of OpenTelemetry. These values are not sent as they are: `encodeOtlp` of `otlp_request.ts` makes requests of them.
 */
import type { ExportItem } from './item.ts';
import { otlpCall } from './otlp_call.ts';
import { otlpAlert, otlpAudit, otlpFinding } from './otlp_records.ts';
import type { OtlpValue } from './otlp_value.ts';
import type { Shape } from './shape.ts';
import { wellFormed } from './well_formed.ts';

export const otlp: Shape = {
  name: 'otlp',
  streams: ['alerts', 'calls', 'findings', 'audit'],
  toValues: (item) => [recordOf(wellFormed(item))],
};

function recordOf(item: ExportItem): OtlpValue {
  switch (item.stream) {
    case 'alerts':
      return otlpAlert(item.alert);
    case 'calls':
      return otlpCall(item);
    case 'findings':
      return otlpFinding(item.finding);
    case 'audit':
      return otlpAudit(item.entry);
  }
}
