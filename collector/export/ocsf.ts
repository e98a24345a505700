/** Events of the Open Cybersecurity Schema Framework 1.5.0. */
import { shapeOfEveryStream } from './every_stream.ts';
import { ocsfAlert } from './ocsf_alert.ts';
import { ocsfAudit } from './ocsf_audit.ts';
import { ocsfCall } from './ocsf_call.ts';
import { ocsfFinding } from './ocsf_finding.ts';

export const ocsf = shapeOfEveryStream('ocsf', {
  alert: ocsfAlert,
  call: ocsfCall,
  finding: ocsfFinding,
  audit: ocsfAudit,
});
