/**
 * The credential that the collector issued to this agent: the file `credential` in the spool's directory,
 * readable by its owner only. It names the host that it is bound to, so that a credential from a copied disk
 * image is not sent.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import * as z from 'zod';
import { writeFileAtomically } from '../../common/atomic_file.ts';

const FILE = 'credential';
const content = z.object({ host_id: z.string(), credential: z.string().regex(/^[\x21-\x7e]+$/) });

export class CredentialFile {
  readonly #directory: string;
  readonly #hostId: string;
  readonly #log: Logger;
  /** Read once, because only this process writes it. Undefined before that. */
  #credential: string | null | undefined = undefined;
  #isStored = true;
  failures = 0;

  constructor(directory: string, hostId: string, log: Logger) {
    this.#directory = directory;
    this.#hostId = hostId;
    this.#log = log;
  }

  /** Returns null when there is no credential for this host. */
  get(): string | null {
    if (this.#credential === undefined) this.#credential = this.#read();
    if (this.#credential !== null && !this.#isStored) this.#write(this.#credential);
    return this.#credential;
  }

  #read(): string | null {
    try {
      const parsed = content.parse(JSON.parse(readFileSync(join(this.#directory, FILE), 'utf8')));
      return parsed.host_id === this.#hostId ? parsed.credential : null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      this.failures += 1;
      this.#log.warn(
        { file: join(this.#directory, FILE) },
        'the credential of this agent cannot be read; it enrols again',
      );
      return null;
    }
  }

  /**
   * Stores the credential. While the disk cannot be written it is kept in memory, and writing is tried again
   * with every connection.
   */
  put(credential: string): void {
    this.#credential = credential;
    this.#isStored = false;
    this.#write(credential);
  }

  #write(credential: string): void {
    try {
      writeFileAtomically(this.#directory, FILE, JSON.stringify({ host_id: this.#hostId, credential }));
      this.#isStored = true;
    } catch (error) {
      this.failures += 1;
      if (this.failures === 1) {
        this.#log.error(
          { reason: (error as Error).message, file: join(this.#directory, FILE) },
          'the credential of this agent cannot be written; it is kept in memory, and lost if the agent ends before it can be',
        );
      }
    }
  }
}
