/** Events of the Open Cybersecurity Schema Framework 1.5.0. */
import type { ExportItem } from './item.ts';
import type { JsonObject } from './json.ts';
import { ocsfAlert } from './ocsf_alert.ts';
import { ocsfAudit } from './ocsf_audit.ts';
import { ocsfCall } from './ocsf_call.ts';
import { ocsfFinding } from './ocsf_finding.ts';
import type { Shape } from './shape.ts';
import { wellFormed } from './well_formed.ts';

export const ocsf: Shape = {
  name: 'ocsf',
  streams: ['alerts', 'calls', 'findings', 'audit'],
  toValues: (item) => [eventOf(wellFormed(item))],
};

function eventOf(item: ExportItem): JsonObject {
  switch (item.stream) {
    case 'alerts':
      return ocsfAlert(item.alert);
    case 'calls':
      return ocsfCall(item);
    case 'findings':
      return ocsfFinding(item.finding);
    case 'audit':
      return ocsfAudit(item.entry);
  }
}
