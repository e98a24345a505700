/**
 * The decisions about an agent's `hello`: which protocol is spoken, and whether the agent may speak for the
 * host that it names.
 */
import type { Logger } from 'pino';
import {
  type AgentFrame,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
  type RefusalReason,
} from '../../protocol/frames.ts';
import type { AgentIdentity } from '../access/principal.ts';
import type { EnrolmentClaim } from '../access/token_store.ts';
import type { IngestCounters } from './ingest_counters.ts';

export type Hello = Extract<AgentFrame, { type: 'hello' }>;

export interface Refusal {
  reason: RefusalReason;
  message: string;
}

export interface HandshakeContext {
  counters: IngestCounters;
  log: Logger;
  /** The agent, as its token or certificate identified it. */
  identity: AgentIdentity;
  /** For the audit log. */
  sourceAddress: string | null;
  /** See `IngestOptions`. */
  issueCredential: ((hostId: string, claim: EnrolmentClaim) => Promise<string | null>) | null;
  hasCredential: (hostId: string) => Promise<boolean>;
}

/** Returns the newest protocol version that both sides speak, or why there is none. */
export function agreeOnProtocol({
  protocol: oldest,
  protocol_max: newest = oldest,
}: Hello): { protocol: number } | Refusal {
  const protocol = Math.min(newest, PROTOCOL_VERSION);
  if (protocol >= Math.max(oldest, OLDEST_PROTOCOL_VERSION)) return { protocol };
  return {
    reason: 'protocol',
    message: `This collector speaks versions ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION} of the protocol, the agent ${oldest} to ${newest}. Update the older of the two.`,
  };
}

/**
 * Decides whether the agent may speak for the host of its `hello`. One host never speaks for another: neither
 * with its own credential, nor with an enrolment token for a host that has a credential. Returns the new
 * credential where one was issued, or why the agent is refused. Rejects where the credential cannot be
 * stored.
 */
export async function authorizeHost(
  { host: { id: hostId }, enrolment_key: enrolmentKey }: Hello,
  protocol: number,
  { identity, sourceAddress, issueCredential, hasCredential, counters, log }: HandshakeContext,
): Promise<{ credential?: string } | Refusal> {
  if (identity.hostId === hostId) return {};
  if (identity.hostId === null) {
    if (issueCredential === null) return {};
    // An agent of protocol 1 would not keep a credential, and could never connect again.
    if (protocol === 1 && !(await hasCredential(hostId))) return {};
    const credential =
      protocol === 1
        ? null
        : await issueCredential(hostId, { enrolmentKey: enrolmentKey ?? null, sourceAddress });
    if (credential !== null) {
      counters.credentials_issued += 1;
      log.info({ host: hostId }, 'an agent has enrolled');
      return { credential };
    }
  }
  counters.foreign_hosts += 1;
  log.warn(
    { claimed: hostId, bound_to: identity.hostId, via: identity.via },
    'refused an agent that claims to be another host',
  );
  return {
    reason: protocol === 1 ? 'invalid' : 'host',
    message:
      identity.hostId === null
        ? `The host ${hostId} has a credential already, and this agent did not show it. If its spool_dir was deleted or its credential was lost, revoke the old one on the collector: imdswatch token revoke --host-id ${hostId}.`
        : `This agent's ${identity.via} is bound to the host ${identity.hostId}, but the agent says that it is ${hostId}. Was it copied from there, or has host_id changed?`,
  };
}
