/**
 * The plug point of a scan: one reader per kind of file. A reader turns files into findings. It opens nothing
 * by itself, runs nothing, and reaches other files through its context only.
 */
import type { Finding, Problem } from './finding.ts';
import type { Limits } from './limits.ts';
import type { SourceFile } from './source_file.ts';

/** A file that was found, before anybody decided what it is. */
export interface Candidate {
  /** Path as it is reported. */
  path: string;
  /** Last part of the path. */
  name: string;
  /** Bytes of the file. Text files only: a file with a NUL byte in its first 8 KiB is no candidate. */
  bytes: Uint8Array;
  /** Returns whether the bytes contain this ASCII text. */
  contains(text: string): boolean;
  /** Decodes the file; the same object on every call. */
  source(): SourceFile;
}

export interface ReaderContext {
  limits: Limits;
  options: ReaderOptions;
  /** Returns another file of the scanned trees, or null when it is outside, missing, too large or binary. */
  open(path: string): SourceFile | null;
  /** Returns the paths of the files in a directory of the scanned trees, sorted; [] when it is outside. */
  list(directory: string): string[];
}

export interface ReaderOptions {
  /** Terraform input variables of `-var`, as `name` to the text behind the `=`. */
  variables: ReadonlyMap<string, string>;
  /** Paths of `-var-file`, in order. */
  variableFiles: readonly string[];
  /** Day for end dates of suppressions, `YYYY-MM-DD`. */
  today: string;
}

export interface ReaderResult {
  findings: Finding[];
  problems: Problem[];
  /** Things that were judged: resources, calls, dependencies. */
  resources: number;
}

export interface Reader {
  /** Name in progress lines and tests: `terraform`. */
  name: string;
  /** Says whether this reader reads the file. Cheap: it runs for every file. */
  takes(candidate: Candidate): boolean;
  /** Files of one unit are read together. Default: each file by itself. */
  unitOf?(path: string): string;
  /**
   * Names units that other units bring in by themselves, from all paths of this reader, before any is read.
   * They are left out. Default: none.
   */
  broughtIn?(paths: readonly string[], context: ReaderContext): Set<string>;
  /** Loads the parser, once. */
  prepare?(): Promise<void>;
  /** Reads one unit. A file that cannot be parsed becomes a problem, never an exception. */
  read(files: readonly SourceFile[], context: ReaderContext): ReaderResult;
}
