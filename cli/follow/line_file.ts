/**
 * A file of lines that programs such as Filebeat, Fluent Bit and Vector read while it grows. It is only appended to. At its
 * largest size it is renamed to FILE.1, and a new one begins, so that a reader that follows the file misses nothing.
 */
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { syncDirectory } from '../../common/atomic_file.ts';
import { OperatorError } from '../../common/operator_error.ts';

/** Programs that read the file often run as another user of the same group. */
const MODE = 0o640;
const NEWLINE = 0x0a;

export interface LineFileOptions {
  path: string;
  /** A file is renamed before it would become longer. A longer line has a file of its own. */
  maxBytes: number;
  /** Renamed files that are kept: FILE.1 is the latest one. */
  kept: number;
}

export class LineFile {
  readonly #options: LineFileOptions;
  #fd: number | null = null;
  #bytes = 0;

  constructor(options: LineFileOptions) {
    this.#options = options;
  }

  /**
   * Appends lines. They are on the disk when it returns. Throws `OperatorError` (1) where they are not, or not all: the next
   * lines then begin a new file.
   */
  write(lines: readonly string[]): void {
    const { path, maxBytes } = this.#options;
    try {
      this.#open();
      let chunk: Buffer[] = [];
      let length = 0;
      for (const line of lines) {
        const bytes = Buffer.from(line);
        if (this.#bytes + length > 0 && this.#bytes + length + bytes.length > maxBytes) {
          this.#append(Buffer.concat(chunk));
          [chunk, length] = [[], 0];
          this.#rotate();
        }
        chunk.push(bytes);
        length += bytes.length;
      }
      this.#append(Buffer.concat(chunk));
      fdatasyncSync(this.#fd!);
    } catch (error) {
      this.close();
      if (error instanceof OperatorError) throw error;
      throw new OperatorError(
        1,
        `${path} cannot be written: ${(error as Error).message}. Make room, or correct --output, and run the command again: it goes on after the last lines that were written, and prints a part of them again with the same ids.`,
        { cause: error },
      );
    }
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }

  #append(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0; ) {
      const written = writeSync(this.#fd!, rest);
      this.#bytes += written;
      rest = rest.subarray(written);
    }
  }

  /** Opens the file, also where somebody has renamed or deleted the one that is open. */
  #open(): void {
    const { path } = this.#options;
    if (this.#fd !== null) {
      const named = statSync(path, { throwIfNoEntry: false });
      if (named?.ino === fstatSync(this.#fd).ino) return;
      this.close();
    }
    const fd = openSync(path, 'a+', MODE);
    this.#fd = fd;
    const stats = fstatSync(fd);
    if (!stats.isFile())
      throw new OperatorError(2, `--output ${path} must be a file: without --output the lines go to stdout.`);
    this.#bytes = stats.size;
    const last = Buffer.alloc(1);
    // A write was cut off. Its reader waits for the rest of the line, which comes as a whole line of the next file.
    if (stats.size > 0 && readSync(fd, last, 0, 1, stats.size - 1) === 1 && last[0] !== NEWLINE)
      this.#rotate();
  }

  #rotate(): void {
    const { path, kept } = this.#options;
    if (this.#fd !== null) fdatasyncSync(this.#fd);
    this.close();
    // A rotation that was interrupted has left a place free.
    let free = 1;
    while (free < kept && existsSync(`${path}.${free}`)) free += 1;
    for (let number = free - 1; number >= 1; number -= 1)
      renameSync(`${path}.${number}`, `${path}.${number + 1}`);
    renameSync(path, `${path}.1`);
    this.#fd = openSync(path, 'a+', MODE);
    this.#bytes = 0;
    syncDirectory(dirname(path));
  }
}
