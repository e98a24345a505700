/**
 * TLS options of the agent's connection to its collector: the authorities that it trusts and its own
 * certificate.
 */
import { readFileSync } from 'node:fs';
import type { SecureContextOptions } from 'node:tls';
import { createSecureContext } from 'node:tls';
import { OperatorError } from '../../common/operator_error.ts';

export interface TlsFiles {
  /**
   * Certificates of the authorities that may vouch for the collector, PEM. Null for the ones that come with
   * Node.
   */
  caFile: string | null;
  /** The agent's own certificate and its key, PEM. */
  certFile: string | null;
  keyFile: string | null;
}

/**
 * Options of a connection. Files are read again for each connection, because certificates are renewed. Throws
 * `OperatorError` (exit code 2). Verification cannot be switched off: not here, and not by
 * NODE_TLS_REJECT_UNAUTHORIZED, which is only a default.
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
