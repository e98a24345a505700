/**
 * Makes a self-signed certificate for the demo and first tries. Clients must trust it explicitly, by file or
 * fingerprint.
 */
import { createPrivateKey, KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import { isLoopback } from '../../common/host_address.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { isAnyAddress } from '../config.ts';

export interface KeyPairFiles {
  certFile: string;
  keyFile: string;
}

const CERTIFICATE_FILE = 'self_signed.crt';
const KEY_FILE = 'self_signed.key';
const DAY_MS = 86_400_000;
/** Browsers accept no more than 398 days (CA/Browser Forum Baseline Requirements, section 6.3.2). */
const VALID_DAYS = 397;
const RENEWED_BEFORE_DAYS = 30;

export function selfSignedFiles(dataDir: string): KeyPairFiles {
  return { certFile: join(dataDir, CERTIFICATE_FILE), keyFile: join(dataDir, KEY_FILE) };
}

/**
 * Returns the pair of files in `dataDir`. Makes a new pair if there is none, if less than 30 days are left,
 * or if it lacks one of the names: localhost, the name of this machine and `listenHost`. Throws
 * `OperatorError`.
 */
export async function selfSigned(
  dataDir: string,
  listenHost: string,
  nowMs = Date.now(),
): Promise<KeyPairFiles> {
  const files = selfSignedFiles(dataDir);
  const names = namesFor(listenHost);
  try {
    if (isUsable(files, names, nowMs)) return files;
    const { certificate, key } = await makeCertificate(names, nowMs);
    // Between the two writes the pair does not match. If the process ends there, the next start makes another
    // pair.
    writeFileAtomically(dataDir, KEY_FILE, key);
    writeFileAtomically(dataDir, CERTIFICATE_FILE, certificate, { mode: 0o644 });
    return files;
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new OperatorError(
      code === 'EACCES' || code === 'EPERM' || code === 'EROFS' ? 3 : 1,
      `A self-signed certificate could not be made in ${dataDir}: ${message}. Make the directory writable for the collector's user, or set tls_cert_file and tls_key_file.`,
      { cause: error },
    );
  }
}

function namesFor(listenHost: string): string[] {
  const names = new Set(['localhost', '127.0.0.1', '::1', hostname().toLowerCase()]);
  if (!isLoopback(listenHost) && !isAnyAddress(listenHost)) names.add(listenHost.toLowerCase());
  // A certificate cannot hold a name that is not valid by RFC 1123.
  return [...names].filter((name) => isIP(name) !== 0 || /^[a-z0-9.-]{1,253}$/.test(name));
}

function isUsable({ certFile, keyFile }: KeyPairFiles, names: string[], nowMs: number): boolean {
  const certificatePem = readOwnFile(certFile);
  const keyPem = readOwnFile(keyFile);
  if (certificatePem === null || keyPem === null) return false;
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certificatePem);
    if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return false;
  } catch {
    return false; // A full disk may have cut it off. Another one is made, and its new fingerprint is logged.
  }
  if (certificate.validToDate.getTime() - nowMs < RENEWED_BEFORE_DAYS * DAY_MS) return false;
  if (certificate.validFromDate.getTime() > nowMs) return false;
  return names.every((name) =>
    isIP(name) === 0 ? certificate.checkHost(name) !== undefined : certificate.checkIP(name) !== undefined,
  );
}

async function makeCertificate(
  names: string[],
  nowMs: number,
): Promise<{ certificate: string; key: string }> {
  // They are loaded only here, because most collectors have a certificate. The second needs the first to be
  // loaded before.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=imdswatch collector',
    // The clock of an agent may be behind ours.
    notBefore: new Date(nowMs - DAY_MS),
    notAfter: new Date(nowMs + (VALID_DAYS - 1) * DAY_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
      ),
    ],
  });
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }) as string;
  return { certificate: `${certificate.toString('pem')}\n`, key };
}

/** Returns null if there is no file. Follows no symbolic link, and reads no file that others can write. */
function readOwnFile(file: string): string | null {
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ELOOP') return null;
    throw error;
  }
  try {
    const { mode, uid } = fstatSync(descriptor);
    const isOurs = uid === process.geteuid?.() || uid === 0;
    return isOurs && (mode & 0o022) === 0 ? readFileSync(descriptor, 'utf8') : null;
  } finally {
    closeSync(descriptor);
  }
}
