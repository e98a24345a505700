/** Attempts of an ordinary user to call IMDSv1 unnoticed. Each ends as the right call or as a counted loss. */
import { attempts, withEvasionLab } from './evasions/group.ts';
import { ODD_REQUESTS, ORDINARY_SOCKETS } from './evasions/unprivileged.ts';

withEvasionLab('evasions of an ordinary user', 'evuser', (lab) => {
  // All of these connections begin in the host's own namespace, where the capture sees them.
  const options = { unrelated: ['coverage.missed'] };
  attempts(lab, 'requests that are written oddly', ODD_REQUESTS, options);
  attempts(lab, 'sockets of an ordinary user', ORDINARY_SOCKETS, options);
});
