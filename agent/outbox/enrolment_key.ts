/**
 * A secret that the agent makes before it enrols, and sends together with the enrolment token. The collector
 * keeps its hash with the credential. An agent that lost the answer to its enrolment sends the same key again
 * and gets another credential. Somebody else who has only the enrolment token does not. The file is
 * `enrolment_key` in the spool's directory.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import * as z from 'zod';
import { writeFileAtomically } from '../../common/atomic_file.ts';
import { ENROLMENT_KEY } from '../../protocol/frames.ts';

const FILE = 'enrolment_key';
const KEY_BYTES = 32;
const content = z.object({ host_id: z.string(), key: z.string().regex(ENROLMENT_KEY) });

export class EnrolmentKey {
  readonly #directory: string;
  readonly #hostId: string;
  readonly #log: Logger;
  #key: string | null = null;
  #isStored = false;
  #hasComplained = false;

  constructor(directory: string, hostId: string, log: Logger) {
    this.#directory = directory;
    this.#hostId = hostId;
    this.#log = log;
  }

  /**
   * Returns the key of this host. It is on disk before it is sent for the first time, unless the disk cannot
   * be written.
   */
  get(): string {
    if (this.#key === null) {
      this.#key = this.#read();
      this.#isStored = this.#key !== null;
      this.#key ??= randomBytes(KEY_BYTES).toString('base64url');
    }
    if (!this.#isStored) this.#write(this.#key);
    return this.#key;
  }

  /** Returns null when there is no readable key, and when it came with the disk image of another host. */
  #read(): string | null {
    try {
      const parsed = content.parse(JSON.parse(readFileSync(join(this.#directory, FILE), 'utf8')));
      return parsed.host_id === this.#hostId ? parsed.key : null;
    } catch {
      return null;
    }
  }

  #write(key: string): void {
    try {
      writeFileAtomically(this.#directory, FILE, JSON.stringify({ host_id: this.#hostId, key }));
      this.#isStored = true;
    } catch (error) {
      if (this.#hasComplained) return;
      this.#hasComplained = true;
      this.#log.error(
        { reason: (error as Error).message, file: join(this.#directory, FILE) },
        'the enrolment key of this agent cannot be written; if the agent ends before its credential is on disk, an admin has to release the host',
      );
    }
  }
}
