/**
 * TLS of the collector, with the operator's certificate or a self-signed one. The files are read again when
 * they change.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions, type Server, type TlsOptions } from 'node:tls';
import type { Logger } from 'pino';
import { OperatorError } from '../../common/operator_error.ts';
import type { Counters } from '../../protocol/records.ts';
import { type CollectorSettings, listenAddress } from '../config.ts';
import { selfSigned } from './self_signed.ts';

export type TlsSettings = Pick<
  CollectorSettings,
  'tls_cert_file' | 'tls_key_file' | 'tls_client_ca_file' | 'tls_self_signed' | 'data_dir' | 'listen'
>;

interface TlsFiles {
  certFile: string;
  keyFile: string;
  clientCaFile: string | null;
}

/** The files are checked this often. Certificates are renewed days before they expire. */
const LOOK_INTERVAL_MS = 30_000;
const WARNED_BEFORE_MS = 14 * 86_400_000;
const WARN_INTERVAL_MS = 24 * 3_600_000;

export class ServerTls {
  readonly #files: TlsFiles;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #counters = { reloads: 0, reload_failures: 0 };
  #context: SecureContextOptions;
  #certificate: X509Certificate;
  #state: string;
  #servers: Server[] = [];
  #timer: NodeJS.Timeout | null = null;
  #warnedMs = Number.NEGATIVE_INFINITY;
  readonly #onSignal = () => this.reload();

  /**
   * Returns null if the settings ask for no TLS. Throws `OperatorError` that names the file and the remedy.
   */
  static async fromSettings(
    settings: TlsSettings,
    log: Logger,
    now: () => number = Date.now,
  ): Promise<ServerTls | null> {
    const clientCaFile = settings.tls_client_ca_file ?? null;
    const { tls_cert_file: certFile, tls_key_file: keyFile } = settings;
    if (certFile !== undefined && keyFile !== undefined) {
      return new ServerTls({ certFile, keyFile, clientCaFile }, log, now);
    }
    if (!settings.tls_self_signed) return null;
    mkdirSync(settings.data_dir, { recursive: true, mode: 0o700 });
    const pair = await selfSigned(settings.data_dir, listenAddress(settings).host, now());
    const tls = new ServerTls({ ...pair, clientCaFile }, log, now);
    log.warn(
      { certificate: pair.certFile, sha256: tls.fingerprint, names: tls.#certificate.subjectAltName },
      'the certificate is self-signed: make agents and browsers trust this file or fingerprint',
    );
    return tls;
  }

  constructor(files: TlsFiles, log: Logger, now: () => number = Date.now) {
    this.#files = files;
    this.#log = log;
    this.#now = now;
    this.#state = stateOf(files);
    const { context, certificate } = load(files, now());
    this.#context = context;
    this.#certificate = certificate;
    this.#warnIfItEndsSoon();
  }

  /**
   * Options for `https.createServer`. With a CA for agents, the server asks every client for a certificate.
   * It accepts clients without one, because people have none. `certifiedHost` judges the certificate.
   */
  get options(): TlsOptions {
    return {
      ...this.#context,
      ...(this.#files.clientCaFile === null ? {} : { requestCert: true, rejectUnauthorized: false }),
    };
  }

  /** SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it. */
  get fingerprint(): string {
    return this.#certificate.fingerprint256;
  }

  get certificateFile(): string {
    return this.#files.certFile;
  }

  /** Milliseconds since 1970. */
  get expiresMs(): number {
    return this.#certificate.validToDate.getTime();
  }

  /**
   * Gives `server` every new certificate from now on, within 30 seconds or at once on SIGHUP. Open
   * connections stay.
   */
  follow(server: Server): void {
    this.#servers.push(server);
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.reloadIfChanged(), LOOK_INTERVAL_MS).unref();
    process.on('SIGHUP', this.#onSignal);
  }

  reloadIfChanged(): void {
    this.#warnIfItEndsSoon();
    if (stateOf(this.#files) !== this.#state) this.reload();
  }

  /**
   * Keeps the current certificate if the new one cannot be used (counted and logged), because a file may be
   * half written.
   */
  reload(): void {
    try {
      const state = stateOf(this.#files);
      const { context, certificate } = load(this.#files, this.#now());
      for (const server of this.#servers) server.setSecureContext(context);
      this.#context = context;
      this.#certificate = certificate;
      this.#state = state;
      this.#counters.reloads += 1;
      this.#log.info({ sha256: this.fingerprint, until: certificate.validTo }, 'a new certificate is in use');
    } catch (error) {
      this.#counters.reload_failures += 1;
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error({ reason }, 'the new certificate cannot be used; the old one stays in use');
    }
    this.#warnIfItEndsSoon();
  }

  #warnIfItEndsSoon(): void {
    const now = this.#now();
    if (this.expiresMs - now > WARNED_BEFORE_MS || now - this.#warnedMs < WARN_INTERVAL_MS) return;
    this.#warnedMs = now;
    const { certFile } = this.#files;
    this.#log.warn(
      { certificate: certFile, until: this.#certificate.validTo },
      'the certificate expires soon: renew it',
    );
  }

  counters(): Counters {
    return { ...this.#counters };
  }

  close(): void {
    if (this.#timer === null) return;
    clearInterval(this.#timer);
    process.off('SIGHUP', this.#onSignal);
    this.#timer = null;
    this.#servers = [];
  }
}

function load(
  files: TlsFiles,
  nowMs: number,
): { context: SecureContextOptions; certificate: X509Certificate } {
  const { certFile, keyFile, clientCaFile } = files;
  const cert = read('tls_cert_file', certFile);
  const key = read('tls_key_file', keyFile);
  const certificate = parse(
    `tls_cert_file ${certFile} has no certificate in PEM format`,
    () => new X509Certificate(cert),
  );
  const privateKey = parse(
    `tls_key_file ${keyFile} has no private key in PEM format without a passphrase`,
    () => createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new OperatorError(
      2,
      `tls_key_file ${keyFile} is not the key of tls_cert_file ${certFile}. Set a certificate and a key that belong together. The server's own certificate must come first in its file.`,
    );
  }
  if (certificate.validToDate.getTime() <= nowMs) {
    throw new OperatorError(
      2,
      `tls_cert_file ${certFile} expired on ${certificate.validToDate.toISOString()}. Renew it and start the collector again.`,
    );
  }
  const context: SecureContextOptions = { cert, key, minVersion: 'TLSv1.2', honorCipherOrder: true };
  if (clientCaFile !== null) {
    const ca = read('tls_client_ca_file', clientCaFile);
    parse(
      `tls_client_ca_file ${clientCaFile} has no certificate in PEM format`,
      () => new X509Certificate(ca),
    );
    context.ca = ca;
  }
  parse(`tls_cert_file ${certFile} cannot be used`, () => createSecureContext(context));
  return { context, certificate };
}

function read(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM';
    throw new OperatorError(
      denied ? 3 : 2,
      `${setting} ${file} cannot be read: ${message}. ${denied ? "Let the collector's user read it." : 'Set the path of a PEM file.'}`,
      { cause: error },
    );
  }
}

/** Error messages of OpenSSL contain nothing of the files' content. */
function parse<T>(problem: string, reading: () => T): T {
  try {
    return reading();
  } catch (error) {
    throw new OperatorError(2, `${problem}: ${(error as Error).message}.`, { cause: error });
  }
}

/**
 * Returns a text that changes with the files, also when a link points to another one, which is how Kubernetes
 * renews secrets.
 */
function stateOf({ certFile, keyFile, clientCaFile }: TlsFiles): string {
  return [certFile, keyFile, clientCaFile]
    .filter((file) => file !== null)
    .map((file) => {
      const stat = statSync(file, { bigint: true, throwIfNoEntry: false });
      return stat === undefined ? 'none' : `${stat.ino} ${stat.size} ${stat.mtimeNs}`;
    })
    .join(', ');
}
