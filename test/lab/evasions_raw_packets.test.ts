/** Attempts to call IMDSv1 unnoticed with raw packets. Each ends as the right call or as a counted loss. */
import { attempts, withEvasionLab } from './evasions/group.ts';
import {
  FORGED_ANSWERS,
  FORGED_BYTES,
  FORGED_ENDS,
  FORGED_IPV6,
  OTHER_SENDERS,
} from './evasions/raw_packets.ts';

withEvasionLab('evasions with raw packets', 'evraw', (lab) => {
  // All of these connections begin in the host's own namespace, where the capture sees them.
  const options = { unrelated: ['coverage.missed'] };
  attempts(lab, 'ends and beginnings that are forged', FORGED_ENDS, options);
  attempts(lab, 'bytes that are forged', FORGED_BYTES, options);
  attempts(lab, 'packets over IPv6 that are forged', FORGED_IPV6, options);
  attempts(lab, 'answers that are forged', FORGED_ANSWERS, options);
  attempts(lab, 'other senders on the wire', OTHER_SENDERS, options);
});
