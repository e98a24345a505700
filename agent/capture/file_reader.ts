/** Reads a file from front to back in large pieces and returns exact lengths. */
import { readSync } from 'node:fs';
import { OperatorError } from '../../common/operator_error.ts';

const READ_BYTES = 1024 * 1024;

export class FileReader {
  private readonly fd: number;
  private readonly path: string;
  private buffer = Buffer.alloc(0);
  private position = 0;
  private ended = false;
  private hasTaken = false;

  constructor(fd: number, path: string) {
    this.fd = fd;
    this.path = path;
  }

  /** Returns whether no byte was taken yet. */
  get isAtStart(): boolean {
    return !this.hasTaken;
  }

  get hasRest(): boolean {
    return this.fill(1);
  }

  peek(length: number): Buffer | null {
    return this.fill(length) ? this.buffer.subarray(this.position, this.position + length) : null;
  }

  take(length: number): Buffer | null {
    const bytes = this.peek(length);
    if (bytes === null) return null;
    this.position += length;
    this.hasTaken = true;
    return bytes;
  }

  private fill(length: number): boolean {
    while (this.buffer.length - this.position < length && !this.ended) {
      const kept = this.buffer.subarray(this.position);
      const next = Buffer.allocUnsafe(kept.length + Math.max(READ_BYTES, length - kept.length));
      kept.copy(next);
      let read: number;
      try {
        read = readSync(this.fd, next, kept.length, next.length - kept.length, null);
      } catch (error) {
        throw new OperatorError(
          this.isAtStart ? 2 : 1,
          `${this.path} cannot be read: ${(error as Error).message}.`,
        );
      }
      this.ended = read === 0;
      this.buffer = next.subarray(0, kept.length + read);
      this.position = 0;
    }
    return this.buffer.length - this.position >= length;
  }
}
