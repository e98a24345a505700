/**
 * Writes lines to stdout. Node writes to files and terminals at once. It writes to a pipe as far as the pipe
 * has room; the rest waits in memory for the reader. `LiveOutput` then drops lines, and `WaitingOutput`
 * waits.
 */
import { writeSync } from 'node:fs';
import { OperatorError } from '../../common/operator_error.ts';

/** Thrown when the reader has closed stdout (`| head`). A command treats it as its normal end. */
export class ReaderGone extends Error {}

/** Most memory for output that has not been read. */
const MAX_UNREAD_BYTES = 4_194_304;
/** Time that `end` waits for the reader. */
const END_WAIT_MS = 1_000;
const RETRY_MS = 10;
const STDOUT = 1;

export interface LineOutput {
  /** Returns false when the line was dropped. */
  write(line: string): boolean;
}

/**
 * Writes calls of a live capture, which cannot wait: lines that a slow reader has no room for are dropped and
 * counted.
 */
export class LiveOutput implements LineOutput {
  dropped = 0;
  /** Lines of the packets that are being handled: they are written together, with one system call. */
  private lines = '';
  /**
   * Resolves when the reader has closed stdout; rejects with `OperatorError` (1) when stdout cannot be
   * written.
   */
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
    if (process.stdout.writableLength + this.lines.length > MAX_UNREAD_BYTES) {
      this.dropped++;
      return false;
    }
    if (this.lines === '') queueMicrotask(() => this.flush());
    this.lines += `${line}\n`;
    return true;
  }

  private flush(): void {
    const { lines } = this;
    this.lines = '';
    if (lines !== '') process.stdout.write(lines);
  }

  /** Waits up to a second for the reader, and returns the number of bytes that it did not read. */
  async end(): Promise<number> {
    this.flush();
    const deadlineMs = performance.now() + END_WAIT_MS;
    while (process.stdout.writableLength > 0 && !process.stdout.errored && performance.now() < deadlineMs) {
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
    return process.stdout.errored ? 0 : process.stdout.writableLength;
  }
}

/**
 * Writes calls of a file, which can wait: no line is dropped. Throws `ReaderGone`, or `OperatorError` (1).
 */
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
        // Another process made the pipe non-blocking, and it is full.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
      }
    }
    return true;
  }
}

function cannotWrite(error: Error): OperatorError {
  return new OperatorError(
    1,
    `stdout cannot be written: ${error.message}. Check the disk or the program that reads the output.`,
    { cause: error },
  );
}
