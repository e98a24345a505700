/** Documents of the Elastic Common Schema 9.4. */
import { ecsCall } from './ecs_call.ts';
import { ecsAlert, ecsAudit, ecsFinding } from './ecs_records.ts';
import { shapeOfEveryStream } from './every_stream.ts';

export const ecs = shapeOfEveryStream('ecs', {
  alert: ecsAlert,
  call: ecsCall,
  finding: ecsFinding,
  audit: ecsAudit,
});
