/** The agent's side of TLS to its collector: which authority it trusts, what it shows, and what to do when that fails. */
import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { OperatorError } from '../../common/operator_error.ts';

export interface TlsFiles {
  /** Certificates of the authorities that may vouch for the collector, PEM. Null: the ones that Node brings along. */
  caFile: string | null;
  /** The agent's own certificate and its key, PEM. */
  certFile: string | null;
  keyFile: string | null;
}

/**
 * Options of a connection. Files are read again for each, for certificates are renewed. Throws `OperatorError` (exit code
 * 2). Verification cannot be switched off: not here, and not by NODE_TLS_REJECT_UNAUTHORIZED, which is only a default.
 */
export function tlsOptions({ caFile, certFile, keyFile }: TlsFiles): SecureContextOptions & {
  rejectUnauthorized: true;
} {
  if ((certFile === null) !== (keyFile === null)) {
    throw new OperatorError(
      2,
      certFile === null
        ? 'tls_key_file is set without tls_cert_file: a client certificate needs both.'
        : 'tls_cert_file is set without tls_key_file: a client certificate needs both.',
    );
  }
  const options: SecureContextOptions = { minVersion: 'TLSv1.2' };
  if (caFile !== null) options.ca = readPem('collector_ca_file', caFile, 'CERTIFICATE');
  if (certFile !== null) options.cert = readPem('tls_cert_file', certFile, 'CERTIFICATE');
  if (keyFile !== null) options.key = readPem('tls_key_file', keyFile, 'PRIVATE KEY');
  try {
    createSecureContext(options);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new OperatorError(
      2,
      code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH'
        ? `tls_key_file ${keyFile} is not the key of the certificate in tls_cert_file ${certFile}.`
        : `The TLS files cannot be used (${[caFile, certFile, keyFile].filter(Boolean).join(', ')}): ${message}.`,
    );
  }
  return { ...options, rejectUnauthorized: true };
}

function readPem(setting: string, file: string, holds: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new OperatorError(2, `${setting} ${file} cannot be read: ${(error as Error).message}.`);
  }
  if (!new RegExp(`-----BEGIN [A-Z ]*${holds}-----`).test(text)) {
    throw new OperatorError(2, `${setting} ${file} holds no PEM block "${holds}".`);
  }
  return text;
}

/** Codes of X509_V_ERR_* (openssl-verify(1)), as Node names them. */
const UNKNOWN_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
]);

/** What an operator can do about a connection that failed so; null for what passes by itself. */
export function tlsRemedy(error: NodeJS.ErrnoException, url: string): string | null {
  const code = error.code ?? '';
  if (UNKNOWN_AUTHORITY.has(code)) {
    return `The certificate of ${url} is signed by an authority that this agent does not know (${code}). Set collector_ca_file to that authority's certificate (for a self-signed one: the certificate itself).`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return `The certificate of ${url} is for another name: ${error.message}. Use a name that it is for in collector_url, or give the collector a certificate for this one.`;
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return `The certificate of ${url} ${code === 'CERT_HAS_EXPIRED' ? 'has expired' : 'is not valid yet'}. Renew it on the collector, or set this host's clock, which says ${new Date().toISOString()}.`;
  }
  // OpenSSL's own words: the code that comes with them differs by the phase (`ERR_SSL_…`, `EPROTO`).
  if (/wrong version number|packet length too long/.test(error.message)) {
    return `${url} does not speak TLS. If the collector is meant to be asked without it, write ws:// in collector_url.`;
  }
  if (/SSL routines.*alert/.test(error.message)) {
    return `${url} does not accept this agent's TLS side (${/[^:]*alert[^:]*/.exec(error.message)![0]}). Look at the collector's tls_client_ca_file, and at this agent's tls_cert_file and tls_key_file.`;
  }
  if (code.startsWith('HPE_')) {
    return `${url} does not answer in HTTP (${code}). If the collector speaks TLS, write wss:// in collector_url.`;
  }
  return null;
}
