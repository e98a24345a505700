/** Turns the answers and errors of a failed connection into messages that tell an operator what to do. */
import { OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } from '../../protocol/frames.ts';

const RECORDS_STAY = 'Records stay in the spool meanwhile.';

/**
 * The meaning of an HTTP answer to the opening request.
 * `authentication`: the collector refused the credential. `busy`: it takes no more connections for now.
 * `not_a_collector`: only an operator can help.
 */
export interface HttpRefusal {
  kind: 'authentication' | 'busy' | 'not_a_collector';
  message: string;
}

/** `sentKind`: the name of the secret that was sent, from `AgentCredentials`. */
export function httpRefusal(status: number | undefined, url: string, sentKind: string): HttpRefusal {
  if (status === 401) {
    return {
      kind: 'authentication',
      message: `The collector at ${url} refuses this agent's ${sentKind}. Set agent_token (or agent_token_file) to an enrolment token of the collector. ${RECORDS_STAY}`,
    };
  }
  if (status === 503) {
    return { kind: 'busy', message: 'the collector takes no more connections now (HTTP status 503)' };
  }
  return {
    kind: 'not_a_collector',
    message: `${url} answered with HTTP status ${status}: it is not an imdswatch collector, or a proxy is in between. Check collector_url. ${RECORDS_STAY}`,
  };
}

/** Returns null if this agent can use the version of the protocol that the collector has chosen. */
export function protocolRefusal(protocol: number): string | null {
  if (protocol >= OLDEST_PROTOCOL_VERSION && protocol <= PROTOCOL_VERSION) return null;
  return `The collector speaks version ${protocol} of the protocol, this agent ${OLDEST_PROTOCOL_VERSION} to ${PROTOCOL_VERSION}. Update the older of the two.`;
}

/** Returns null for an error that ends without an operator. */
export function tlsRefusal(error: NodeJS.ErrnoException, url: string): string | null {
  const remedy = tlsRemedy(error, url);
  return remedy === null ? null : `${remedy} ${RECORDS_STAY}`;
}

/** Codes of X509_V_ERR_* (openssl-verify(1)), as Node names them. */
const UNKNOWN_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

/** Names the program that connects, and its settings, in the texts. */
export interface ConnectingProgram {
  /** `this agent` */
  reader: string;
  /** Setting or flag with the address: `collector_url`. */
  address: string;
  plain: string;
  encrypted: string;
}

const AGENT: ConnectingProgram = {
  reader: 'this agent',
  address: 'collector_url',
  plain: 'ws://',
  encrypted: 'wss://',
};

/** Returns what an operator can do about an error of TLS or HTTP; null for an error that ends by itself. */
export function tlsRemedy(error: NodeJS.ErrnoException, url: string): string | null {
  return connectionRemedy(error, url, AGENT);
}

/** The same for any program that connects to a collector. */
export function connectionRemedy(
  error: NodeJS.ErrnoException,
  url: string,
  { reader, address, plain, encrypted }: ConnectingProgram,
): string | null {
  const code = error.code ?? '';
  if (UNKNOWN_AUTHORITY.has(code)) {
    return `The certificate of ${url} is signed by an authority that ${reader} does not know (${code}). Set collector_ca_file to that authority's certificate (for a self-signed one: the certificate itself).`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `The certificate of ${url} is for another name: ${error.message}. Use a name that it is for in ${address}, or give the collector a certificate for this one.`;
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return `The certificate of ${url} ${code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet'}. Renew it on the collector, or set this host's clock, which shows ${new Date().toISOString()}.`;
  }
  // The text is OpenSSL's own: the code that comes with them differs by the phase (`ERR_SSL_…`, `EPROTO`).
  if (/wrong version number|packet length too long/.test(error.message)) {
    return `${url} does not speak TLS. If the collector is meant to be used without TLS, write ${plain} in ${address}.`;
  }
  if (/SSL routines.*alert/.test(error.message)) {
    return `${url} does not accept ${reader}'s TLS side (${/[^:]*alert[^:]*/.exec(error.message)![0]}). Look at the collector's tls_client_ca_file, and at ${reader}'s tls_cert_file and tls_key_file.`;
  }
  if (code.startsWith('HPE_')) {
    return `${url} does not answer in HTTP (${code}). If the collector speaks TLS, write ${encrypted} in ${address}.`;
  }
  return null;
}
