/**
 * Builds the tree of files that a package installs. The builder's user id, umask and clock do not affect it.
 */
import {
  chmodSync,
  cpSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

export class Tree {
  readonly directory: string;
  /** Absolute paths on the host of executable files. */
  readonly #programs = new Set<string>();

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  /** Returns the place of a path of the host while packages are made. */
  at(path: string): string {
    return join(this.directory, path);
  }

  write(path: string, content: string | Uint8Array): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    writeFileSync(this.at(path), content);
  }

  copy(from: string, path: string): void {
    mkdirSync(dirname(this.at(path)), { recursive: true });
    cpSync(from, this.at(path), { recursive: true, dereference: true });
  }

  program(path: string): void {
    this.#programs.add(path);
  }

  read(path: string): string {
    return readFileSync(this.at(path), 'utf8');
  }

  /** Returns all files, sorted, as absolute paths on the host. */
  files(): string[] {
    return this.#entries('files');
  }

  directories(): string[] {
    return this.#entries('directories');
  }

  bytes(): number {
    return this.files().reduce((sum, path) => sum + lstatSync(this.at(path)).size, 0);
  }

  /** Sets modes and times as they are in a package. Must be the last step. */
  settle(timeSeconds: number): void {
    for (const path of this.files()) chmodSync(this.at(path), this.#programs.has(path) ? 0o755 : 0o644);
    for (const path of ['/', ...this.directories()]) chmodSync(this.at(path), 0o755);
    for (const path of [...this.files(), ...this.directories().reverse(), '/']) {
      lutimesSync(this.at(path), timeSeconds, timeSeconds);
    }
  }

  #entries(of: 'files' | 'directories'): string[] {
    return readdirSync(this.directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isDirectory() === (of === 'directories'))
      .map((entry) => `${entry.parentPath.slice(this.directory.length)}/${entry.name}`)
      .sort();
  }
}
