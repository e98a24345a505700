/**
 * Lines on stdout. Node writes to files and terminals at once, and to a pipe as far as there is room: the rest waits in
 * memory until somebody reads. The two ways to put out calls differ in what that means for them.
 */
import { writeSync } from 'node:fs';
import { OperatorError } from '../../common/operator_error.ts';

/** Nobody reads stdout any more (`| head`). No failure. */
export class ReaderGone extends Error {}

/** Output that nobody has read yet may take this much memory. */
const MAX_UNREAD_BYTES = 4_194_304;
/** States how long the end waits for a reader. */
const END_WAIT_MS = 1_000;
const RETRY_MS = 10;
const STDOUT = 1;

export interface LineOutput {
  /** False when the line was dropped. */
  write(line: string): boolean;
}

/** For what goes on whether it is read or not: a reader that stands still costs calls, which are counted. */
export class LiveOutput implements LineOutput {
  dropped = 0;
  /** Resolves when nobody reads any more; rejects with `OperatorError` (1) when stdout cannot be written. */
  readonly gone: Promise<void>;

  constructor() {
    this.gone = new Promise((resolve, reject) => {
      process.stdout.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'EPIPE') resolve();
        else reject(cannotWrite(error));
      });
    });
  }

  write(line: string): boolean {
    if (process.stdout.writableLength > MAX_UNREAD_BYTES) {
      this.dropped++;
      return false;
    }
    process.stdout.write(`${line}\n`);
    return true;
  }

  /** Gives a reader a last chance; returns the bytes that it did not take. */
  async end(): Promise<number> {
    const deadlineMs = performance.now() + END_WAIT_MS;
    while (process.stdout.writableLength > 0 && !process.stdout.errored && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    return process.stdout.errored ? 0 : process.stdout.writableLength;
  }
}

/** For what can wait: no line is ever dropped. Throws `ReaderGone`, or `OperatorError` (1). */
export class WaitingOutput implements LineOutput {
  write(line: string): boolean {
    let rest = Buffer.from(`${line}\n`);
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(STDOUT, rest));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EPIPE') throw new ReaderGone();
        if (code !== 'EAGAIN') throw cannotWrite(error as Error);
        // Somebody else made the pipe a non-blocking one.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
    return true;
  }
}

function cannotWrite(error: Error): OperatorError {
  return new OperatorError(1, `The output cannot be written: ${error.message}.`, { cause: error });
}
