/** Documents of the Elastic Common Schema 9.4. */
import { ecsCall } from './ecs_call.ts';
import { ecsAlert, ecsAudit, ecsFinding } from './ecs_records.ts';
import type { ExportItem } from './item.ts';
import type { JsonObject } from './json.ts';
import type { Shape } from './shape.ts';
import { wellFormed } from './well_formed.ts';

export const ecs: Shape = {
  name: 'ecs',
  streams: ['alerts', 'calls', 'findings', 'audit'],
  toValues: (item) => [contentOf(wellFormed(item))],
};

function contentOf(item: ExportItem): JsonObject {
  switch (item.stream) {
    case 'alerts':
      return ecsAlert(item.alert);
    case 'calls':
      return ecsCall(item);
    case 'findings':
      return ecsFinding(item.finding);
    case 'audit':
      return ecsAudit(item.entry);
  }
}
