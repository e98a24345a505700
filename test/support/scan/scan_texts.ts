/** Scans texts that are on no disk. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { applyFixes } from '../../../scan/apply_fixes.ts';
import type { Finding } from '../../../scan/finding.ts';
import { type Scanned, scan } from '../../../scan/scan.ts';
import { SourceFile } from '../../../scan/source_file.ts';

export interface TextScanOptions {
  variables?: Record<string, string>;
  variableFiles?: string[];
}

/** Scans files given by path and text. */
export function scanTexts(texts: Record<string, string>, options: TextScanOptions = {}): Promise<Scanned> {
  return scanFiles(
    Object.entries(texts).map(([path, text]) => SourceFile.fromText(path, text)),
    options,
  );
}

export async function scanFiles(
  given: readonly SourceFile[],
  options: TextScanOptions = {},
): Promise<Scanned> {
  const working = mkdtempSync(join(tmpdir(), 'scan-texts-'));
  try {
    return await scan({
      paths: ['.'],
      working,
      given,
      options: {
        variables: new Map(Object.entries(options.variables ?? {})),
        variableFiles: options.variableFiles ?? [],
        today: '2026-01-01',
      },
    });
  } finally {
    rmSync(working, { recursive: true });
  }
}

/** Returns findings as `path:line rule subject`. */
export function shortFindings(findings: readonly Finding[]): string[] {
  return findings.map(({ path, range, rule, subject }) => `${path}:${range.start.line} ${rule} ${subject}`);
}

/** Applies fixes until nothing is left to fix. Returns all texts, and the findings that remain. */
export async function fixTexts(
  texts: Record<string, string>,
  options: TextScanOptions = {},
): Promise<{ texts: Record<string, string>; rounds: number; remaining: Finding[] }> {
  let files = new Map(Object.entries(texts).map(([path, text]) => [path, SourceFile.fromText(path, text)]));
  for (let rounds = 0; ; rounds++) {
    const { findings, open } = await scanFiles([...files.values()], options);
    const { files: changed } = applyFixes(findings, open);
    if (changed.size === 0 || rounds === 10) {
      return {
        texts: Object.fromEntries([...files].map(([path, { text }]) => [path, text])),
        rounds,
        remaining: findings,
      };
    }
    files = new Map([...files, ...changed]);
  }
}
