/** Makes certificates like an operator's own authority, with the `openssl` command. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const NO_OPENSSL = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'there is no openssl command';
  }
})();

export interface Pair {
  certFile: string;
  keyFile: string;
}

export class Authority {
  readonly #directory: string;
  readonly certFile: string;
  readonly #keyFile: string;

  constructor(directory: string, name = 'ca') {
    this.#directory = directory;
    this.certFile = join(directory, `${name}.crt`);
    this.#keyFile = join(directory, `${name}.key`);
    newKey(this.#keyFile);
    openssl(
      'req',
      '-x509',
      '-new',
      '-key',
      this.#keyFile,
      '-subj',
      `/CN=${name}`,
      '-days',
      '30',
      '-out',
      this.certFile,
    );
  }

  /**
   * `subject` is like `/CN=name`, `alternatives` like `DNS:a,URI:b`. With negative `days` the certificate has
   * expired.
   */
  issue(
    file: string,
    {
      subject,
      alternatives,
      usage,
      days = 30,
    }: { subject: string; alternatives?: string; usage: string; days?: number },
  ): Pair {
    const pair = {
      certFile: join(this.#directory, `${file}.crt`),
      keyFile: join(this.#directory, `${file}.key`),
    };
    const request = join(this.#directory, `${file}.csr`);
    const extensions = join(this.#directory, `${file}.ext`);
    const lines = [`extendedKeyUsage=${usage}`];
    if (alternatives !== undefined) lines.push(`subjectAltName=${alternatives}`);
    writeFileSync(extensions, `${lines.join('\n')}\n`);
    newKey(pair.keyFile);
    openssl('req', '-new', '-key', pair.keyFile, '-subj', subject, '-out', request);
    openssl(
      ...['x509', '-req', '-in', request, '-CA', this.certFile, '-CAkey', this.#keyFile, '-CAcreateserial'],
      ...['-days', String(days), '-extfile', extensions, '-out', pair.certFile],
    );
    return pair;
  }
}

function newKey(file: string): void {
  openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file);
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
