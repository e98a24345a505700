/** Attempts to call IMDSv1 unnoticed by other ways. Each ends as the right call or as a counted loss. */
import { attempts, withEvasionLab } from './evasions/group.ts';
import { MAX_NAMESPACES, OWN_WAYS, THROUGH_THE_HOST } from './evasions/namespaces.ts';

withEvasionLab('evasions by namespaces', 'evnames', (lab) => {
  attempts(lab, 'ways through the host', THROUGH_THE_HOST);
  const env = { IMDSWATCH_MAX_NAMESPACES: String(MAX_NAMESPACES) };
  attempts(lab, 'ways of their own', OWN_WAYS, { env });
});
