/** Attempts to call IMDSv1 unnoticed by other ways. Each ends as the right call or as a counted loss. */
import { attempts, withEvasionLab } from './evasions/group.ts';
import { OWN_WAYS, THROUGH_THE_HOST } from './evasions/namespaces.ts';
import { OWN_STACKS } from './evasions/own_stacks.ts';
import { namespaceBound } from './evasions/own_way.ts';

withEvasionLab('evasions by namespaces', 'evnames', (lab) => {
  attempts(lab, 'ways through the host', THROUGH_THE_HOST);
  const options = () => ({ env: { IMDSWATCH_MAX_NAMESPACES: namespaceBound(lab()) } });
  attempts(lab, 'ways of their own', [...OWN_STACKS, ...OWN_WAYS], options);
});
