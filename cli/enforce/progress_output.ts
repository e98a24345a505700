/**
 * Writes the progress of a plan to stderr. A terminal that was stopped with Ctrl-S, a reader that has gone (`| tee`, which
 * Ctrl-C ends first) or a lost connection must neither stop a runner nor end it: a roll-back would not happen. Node's own
 * stderr waits for a terminal, and ends the process when its reader has gone.
 */
import { write as writeFd } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

/** Characters that wait for a reader. More are left out: the journal has every event. */
const MAX_WAITING = 1_048_576;
/** A pipe that is full is tried again after this time. */
const RETRY_MS = 50;
const STDERR = 2;

/** Writes a part of the bytes, and resolves with their number. */
export type WritePart = (bytes: Buffer) => Promise<number>;

const writeStderr: WritePart = async (bytes) => (await promisify(writeFd)(STDERR, bytes)).bytesWritten;

export class ProgressOutput {
  readonly #writePart: WritePart;
  #waiting = '';
  #leftOut = 0;
  #writing: Promise<void> | null = null;

  constructor(writePart: WritePart = writeStderr) {
    this.#writePart = writePart;
  }

  /** Returns at once, and never throws. `text`: whole lines. */
  write(text: string): void {
    if (this.#waiting.length + text.length > MAX_WAITING) this.#leftOut += 1;
    else this.#waiting += text;
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = null;
    });
  }

  /** Waits for the reader, for so many milliseconds at most. */
  async flush(ms = 2000): Promise<void> {
    if (this.#writing === null) return;
    const stop = new AbortController();
    const tooLong = delay(ms, undefined, { signal: stop.signal }).catch(() => undefined);
    await Promise.race([this.#writing, tooLong]);
    stop.abort();
  }

  async #drain(): Promise<void> {
    while (this.#waiting !== '') {
      let rest = Buffer.from(this.#waiting);
      this.#waiting = '';
      while (rest.length > 0) {
        try {
          rest = rest.subarray(await this.#writePart(rest));
        } catch (error) {
          // Nobody reads any more, or the disk is full. What follows is tried again.
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') break;
          await delay(RETRY_MS);
        }
      }
      if (this.#leftOut > 0) this.#waiting = `${this.#leftOut} lines were left out.\n${this.#waiting}`;
      this.#leftOut = 0;
    }
  }
}

/** The output of the command that carries out a plan in this process. */
export const progressOutput = new ProgressOutput();
