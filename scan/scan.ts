/** Scans trees: finds files, gives each to the readers that take it, and puts the findings in order. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { TreeFiles } from './files.ts';
import type { Finding, Problem, ScanResult } from './finding.ts';
import { LIMITS, type Limits } from './limits.ts';
import type { Reader, ReaderContext, ReaderOptions, ReaderResult } from './reader.ts';
import { BINARY_SAMPLE, candidate, READERS } from './recognise.ts';
import type { SourceFile } from './source_file.ts';
import { suppress } from './suppressions.ts';
import { type FoundFile, walk } from './walk.ts';

export interface ScanRequest {
  paths: readonly string[];
  /** Directory that paths are relative to. */
  working: string;
  options: ReaderOptions;
  /** Files that are scanned besides `paths`, or instead of the ones there: standard input, edited text. */
  given?: readonly SourceFile[];
  limits?: Limits;
  readers?: readonly Reader[];
  onProgress?: (done: number, total: number) => void;
}

/** Result with a way to look at the files again, for reports and fixes. */
export interface Scanned extends ScanResult {
  open(path: string): SourceFile | null;
}

/** Throws `OperatorError` for a path that does not exist. */
export async function scan(request: ScanRequest): Promise<Scanned> {
  const limits = request.limits ?? LIMITS;
  const readers = request.readers ?? READERS;
  const files = new TreeFiles(request.paths, request.working, limits);
  const context: ReaderContext = {
    limits,
    options: request.options,
    open: (path) => files.open(path),
    list: (directory) => files.list(directory),
  };
  const result: ScanResult = {
    findings: [],
    problems: [],
    counts: { files: 0, scanned: 0, bytes: 0, resources: 0, suppressed: 0 },
  };
  const { counts, problems } = result;
  const prepared = new Set<Reader>();
  /** Paths for readers that read several files at once. */
  const unitPaths = new Map<Reader, string[]>();

  const found = [...walk(request.paths, request.working, limits, problems)];
  let done = 0;
  for (const file of request.given ?? []) files.give(file);
  const walked = new Set(found.map(({ path }) => path));
  const added = (request.given ?? []).filter(({ path }) => !walked.has(path));
  counts.files = found.length + added.length;
  for (const { path, bytes } of added) await consider(path, bytes);
  for (const file of found) {
    const bytes = files.given(file.path)?.bytes ?? readBounded(file, limits, problems);
    if (bytes !== null) await consider(file.path, bytes);
    done++;
    if (done % PROGRESS_STEP === 0) request.onProgress?.(done, found.length);
  }
  for (const [reader, paths] of unitPaths) await readUnits(reader, paths);

  const kept = suppress(inOrder(result.findings), (path) => files.open(path), request.options.today);
  result.findings = inOrder(kept.findings);
  problems.push(...kept.problems);
  counts.suppressed = kept.count;
  return { ...result, open: (path) => files.open(path) };

  async function consider(path: string, bytes: Uint8Array): Promise<void> {
    const file = candidate(path, bytes);
    if (file === null) return;
    let isTaken = false;
    for (const reader of readers) {
      if (!reader.takes(file)) continue;
      isTaken = true;
      if (reader.unitOf === undefined) {
        await prepare(reader);
        add(readSafely(reader, [file.source()], context));
      } else {
        const paths = unitPaths.get(reader);
        if (paths === undefined) unitPaths.set(reader, [path]);
        else paths.push(path);
      }
    }
    if (isTaken) {
      counts.scanned++;
      counts.bytes += bytes.length;
    }
  }

  async function readUnits(reader: Reader, paths: string[]): Promise<void> {
    await prepare(reader);
    const units = Map.groupBy(paths, (path) => reader.unitOf!(path));
    const broughtIn = reader.broughtIn?.(paths, context) ?? new Set<string>();
    for (const [unit, members] of units) {
      if (broughtIn.has(unit)) continue;
      const sources = members.map((path) => files.open(path)).filter((file) => file !== null);
      add(readSafely(reader, sources, context));
    }
  }

  async function prepare(reader: Reader): Promise<void> {
    if (prepared.has(reader)) return;
    prepared.add(reader);
    await reader.prepare?.();
  }

  function add({ findings, problems: found, resources }: ReaderResult): void {
    const damaged = new Set(found.filter(({ isHarmless }) => isHarmless !== true).map(({ path }) => path));
    for (const finding of findings) result.findings.push(withCertainFix(finding, damaged));
    for (const problem of found) problems.push(problem);
    counts.resources += resources;
  }
}

/** A file that cannot be parsed in full is not edited: the edit might land inside what was not understood. */
function withCertainFix(finding: Finding, damaged: ReadonlySet<string>): Finding {
  if (finding.fix === undefined || !finding.fix.edits.some(({ path }) => damaged.has(path))) return finding;
  const { fix: _, ...rest } = finding;
  return rest;
}

/** Files between two reports of progress. */
const PROGRESS_STEP = 50;

function readBounded(file: FoundFile, limits: Limits, problems: Problem[]): Uint8Array | null {
  if (file.size > limits.fileBytes) {
    if (isBinary(file)) return null;
    problems.push({
      path: file.path,
      message: `The file has ${file.size} bytes. Files above ${limits.fileBytes} bytes are not scanned.`,
    });
    return null;
  }
  try {
    return readFileSync(file.absolute);
  } catch (error) {
    problems.push({ path: file.path, message: `The file cannot be read: ${(error as Error).message}.` });
    return null;
  }
}

/** Says whether a file that is too large to read is binary, and so would be read by nobody. */
function isBinary({ absolute }: FoundFile): boolean {
  const sample = Buffer.alloc(BINARY_SAMPLE);
  let descriptor: number | null = null;
  try {
    descriptor = openSync(absolute, 'r');
    return sample.subarray(0, readSync(descriptor, sample)).includes(0);
  } catch {
    return false; // It is reported as too large, which is true as well.
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}

/** A reader that fails on one unit must not end the scan of the others. */
function readSafely(reader: Reader, files: readonly SourceFile[], context: ReaderContext): ReaderResult {
  try {
    return reader.read(files, context);
  } catch (error) {
    const path = files[0]?.path ?? '';
    const message = `The ${reader.name} reader failed here: ${(error as Error).message}. Please report this as a bug.`;
    return { findings: [], problems: [{ path, message }], resources: 0 };
  }
}

/** Sorts by place, and drops what two units found in the same place of a shared file. */
function inOrder(findings: readonly Finding[]): Finding[] {
  const sorted = [...findings].sort(
    (one, other) =>
      compare(one.path, other.path) ||
      one.range.start.index - other.range.start.index ||
      compare(one.rule, other.rule) ||
      compare(one.subject, other.subject),
  );
  const known = new Set<string>();
  return sorted.filter(({ rule, path, range, subject, identity }) => {
    const key = JSON.stringify([rule, path, range.start.index, subject, identity]);
    if (known.has(key)) return false;
    known.add(key);
    return true;
  });
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
