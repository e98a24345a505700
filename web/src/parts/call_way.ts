/** Sentences about the way of a call: the relay that sent it on, and who answered it. */
import type { ServedCall } from '../../../collector/contract/served_call.ts';

type Way = Pick<
  ServedCall,
  | 'via'
  | 'caller.role'
  | 'caller.connection'
  | 'opener'
  | 'answered_by'
  | 'answered_by.evidence'
  | 'answered_by.confidence'
>;

const RELAYS: Record<NonNullable<Way['via']>['kind'], string> = {
  redirect: 'a sidecar',
  translation: 'a proxy on the host',
  user_network: 'a user-mode network',
};

/** Returns which relay sent the call on for its caller; null where none is known. */
export function relayText({ via }: Way): string | null {
  if (via == null) return null;
  const program = via.script ?? via['executable.path'] ?? via.name;
  return `Sent on by ${RELAYS[via.kind]}: ${program}, pid ${via.pid}`;
}

/** Returns that the caller did not open its connection, or is not the only one that uses it; null where it is. */
export function connectionText({ opener, 'caller.connection': connection }: Way): string | null {
  if (connection !== 'handed' && connection !== 'shared') return null;
  const by =
    opener == null
      ? ''
      : ` by ${opener.script ?? opener['executable.path'] ?? opener.name}, pid ${opener.pid}`;
  if (connection === 'shared')
    return `Several processes use the connection, which was opened${by || ' by one of them'}`;
  return `The connection was opened${by || ' by another process'}, and handed to the caller`;
}

/** Returns that the caller sends on what others ask for; null where nothing shows that. */
export function roleText(call: Way): string | null {
  return call['caller.role'] === 'relay' ? 'Sent on for another program, which is not known' : null;
}

const EVIDENCE: Record<NonNullable<Way['answered_by.evidence']>, string> = {
  translation: 'the kernel sent it to another address, and no packet left for the service',
  socket: 'a socket of the host is the other end',
  loopback: 'no packet left the loopback interface',
  departure: 'a packet left for it',
  none: 'nothing shows where it ended',
};
const CONFIDENCE = { exact: 'certain', probable: 'probable', none: 'not known' };

/** Returns who answered, how that is known and how sure it is; null where it is plainly the service. */
export function answererText(call: Way): string | null {
  const { answered_by: by, 'answered_by.evidence': evidence, 'answered_by.confidence': confidence } = call;
  if (by == null || evidence == null || confidence == null) return null;
  if (by === 'service' && confidence === 'exact') return null;
  if (by === 'service' && evidence === 'none') {
    return confidence === 'probable'
      ? 'Answered by the service (probable): the answer names it'
      : 'Nothing shows who answered: it counts as a use of the service';
  }
  const who = by === 'host' ? 'Answered on this host' : 'Answered by the service';
  return `${who} (${CONFIDENCE[confidence]}): ${EVIDENCE[evidence]}`;
}
