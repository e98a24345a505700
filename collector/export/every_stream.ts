/** Makes a shape that has exactly one value for each record of every stream. */
import type { AuditEntry } from '../contract/administration.ts';
import type { Alert } from '../contract/alert.ts';
import type { ShapeName } from '../contract/export.ts';
import type { Finding } from '../contract/finding.ts';
import type { CallItem, ExportItem } from './item.ts';
import type { JsonObject } from './json.ts';
import type { Shape } from './shape.ts';
import { wellFormed } from './well_formed.ts';

interface ValueMakers {
  alert(alert: Alert): JsonObject;
  call(item: CallItem): JsonObject;
  finding(finding: Finding): JsonObject;
  audit(entry: AuditEntry): JsonObject;
}

export function shapeOfEveryStream(name: ShapeName, makers: ValueMakers): Shape {
  return {
    name,
    streams: ['alerts', 'calls', 'findings', 'audit'],
    toValues: (item) => [makeValue(wellFormed(item), makers)],
  };
}

function makeValue(item: ExportItem, makers: ValueMakers): JsonObject {
  switch (item.stream) {
    case 'alerts':
      return makers.alert(item.alert);
    case 'calls':
      return makers.call(item);
    case 'findings':
      return makers.finding(item.finding);
    case 'audit':
      return makers.audit(item.entry);
  }
}
