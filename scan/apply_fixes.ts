/** Applies the edits of findings to texts. Pure: the caller writes the files. */
import type { Edit, Finding } from './finding.ts';
import { SourceFile } from './source_file.ts';

export interface AppliedFixes {
  /** Changed files by path. */
  files: Map<string, SourceFile>;
  /** Findings whose edits were applied, or were the same as another's. */
  applied: Finding[];
}

/**
 * Applies the fixes of all findings that do not touch the same place. A fix is applied as a whole or not at
 * all; one that overlaps an earlier one is left for the next round.
 */
export function applyFixes(
  findings: readonly Finding[],
  open: (path: string) => SourceFile | null,
): AppliedFixes {
  const chosen = new Map<string, Edit[]>();
  const applied: Finding[] = [];
  for (const finding of findings) {
    const edits = finding.fix?.edits ?? [];
    if (edits.length === 0) continue;
    const isKnown = edits.every((edit) => (chosen.get(edit.path) ?? []).some((other) => isSame(edit, other)));
    const isFree = edits.every(
      (edit) => !(chosen.get(edit.path) ?? []).some((other) => touches(edit, other)),
    );
    if (!isKnown && !isFree) continue;
    applied.push(finding);
    if (isKnown) continue;
    for (const edit of edits) chosen.set(edit.path, [...(chosen.get(edit.path) ?? []), edit]);
  }
  const files = new Map<string, SourceFile>();
  for (const [path, edits] of chosen) {
    const file = open(path);
    if (file === null) continue;
    const text = applyEdits(file.text, edits);
    if (text !== file.text) files.set(path, new SourceFile(path, file.bytesOf(text)));
  }
  return { files, applied };
}

/** Applies edits that do not overlap. */
export function applyEdits(text: string, edits: readonly Edit[]): string {
  let result = '';
  let at = 0;
  for (const { start, end, text: inserted } of edits.toSorted((one, other) => one.start - other.start)) {
    result += text.slice(at, start) + inserted;
    at = end;
  }
  return result + text.slice(at);
}

function isSame(one: Edit, other: Edit): boolean {
  return one.start === other.start && one.end === other.end && one.text === other.text;
}

function touches(one: Edit, other: Edit): boolean {
  return one.start === other.start || (one.start < other.end && other.start < one.end);
}
