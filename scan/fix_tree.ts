/** Fixes a tree: scans, applies the edits in memory, and scans again until nothing is left to fix. */
import { applyFixes } from './apply_fixes.ts';
import type { Finding } from './finding.ts';
import { type Scanned, type ScanRequest, scan } from './scan.ts';
import type { SourceFile } from './source_file.ts';

export interface FixedTree {
  /** Result of the last scan: the findings that remain. */
  scanned: Scanned;
  fixed: Finding[];
  /** Changed files by path, as they were and as they are to be. */
  changes: Map<string, { before: SourceFile; after: SourceFile }>;
}

/** One round is usual; edits that touch each other need one more. */
const MAX_ROUNDS = 10;

/** Writes nothing: the caller does. `select` leaves out findings that stay, as a baseline's. Throws like `scan`. */
export async function fixTree(
  request: ScanRequest,
  select: (findings: readonly Finding[]) => readonly Finding[] = (findings) => findings,
): Promise<FixedTree> {
  const changes: FixedTree['changes'] = new Map();
  const fixed: Finding[] = [];
  for (let round = 0; ; round++) {
    const given = [...(request.given ?? []).filter(({ path }) => !changes.has(path))];
    for (const { after } of changes.values()) given.push(after);
    const scanned = await scan({ ...request, given });
    const { files, applied } = applyFixes(select(scanned.findings), scanned.open);
    if (files.size === 0 || round === MAX_ROUNDS) return { scanned, fixed, changes };
    fixed.push(...applied);
    for (const [path, after] of files) {
      const before = changes.get(path)?.before ?? scanned.open(path);
      if (before !== null) changes.set(path, { before, after });
    }
  }
}
