/** Runs tables of scan cases. Every case is also fixed, scanned again and fixed again. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { applyFixes } from '../../../scan/apply_fixes.ts';
import type { Finding } from '../../../scan/finding.ts';
import type { SourceFile } from '../../../scan/source_file.ts';
import { fixTexts, scanTexts, type TextScanOptions } from './scan_texts.ts';

export interface Case extends TextScanOptions {
  name: string;
  /** Files by path, or the text of the table's usual file. */
  code: string | Record<string, string>;
  /** Findings as `line rule`, or `path:line rule` in another file, in order. */
  want: string[];
  /** Text of the message or the evidence. */
  says?: RegExp;
  /** Text after `--fix`, where it is worth stating. */
  fixed?: string;
  /** Document or source from which the right answer is known. */
  source: string;
}

/** Registers one test per case. `usual` is the path of a case's only file. */
export function testCases(title: string, usual: string, cases: readonly Case[]): void {
  describe(title, () => {
    for (const one of cases) it(`${one.name} (${one.source})`, () => runCase(one, usual));
  });
}

async function runCase(one: Case, usual: string): Promise<void> {
  const texts = typeof one.code === 'string' ? { [usual]: one.code } : one.code;
  const { findings, problems, open } = await scanTexts(texts, one);
  assert.deepEqual(
    findings.map(({ path, range, rule }) => `${path === usual ? '' : `${path}:`}${range.start.line} ${rule}`),
    one.want,
    JSON.stringify(findings.map(({ message }) => message)),
  );
  assert.deepEqual(problems, []);
  for (const finding of findings) checkPositions(finding, open);
  if (one.says !== undefined) {
    const told = findings.map(
      ({ message, evidence }) =>
        `${message} ${evidence.map(({ subject, says }) => `${subject} ${says}`).join('; ')}`,
    );
    assert.match(told.join('\n'), one.says);
  }
  const fixable = findings.filter(({ fix }) => fix !== undefined);
  const fixed = await fixTexts(texts, one);
  assert.deepEqual(
    fixed.remaining.filter(({ fix }) => fix !== undefined),
    [],
    'something is left to fix',
  );
  assert.equal(fixed.rounds > 0, fixable.length > 0);
  if (one.fixed !== undefined) assert.equal(fixed.texts[usual], one.fixed);
}

/** Checks that a finding's positions lie in its files, and that fixes change nothing outside their edits. */
export function checkPositions(finding: Finding, open: (path: string) => SourceFile | null): void {
  const file = open(finding.path);
  assert.ok(file !== null, `${finding.path} cannot be opened`);
  const ranges = [finding.range, finding.scope];
  for (const { start, end } of ranges) {
    assert.ok(start.index >= 0 && start.index <= end.index && end.index <= file.text.length);
    assert.ok(start.byte >= 0 && start.byte <= end.byte && end.byte <= file.bytes.length);
    assert.ok(start.line >= 1 && end.line <= file.lineCount);
    assert.deepEqual(file.position(start.index), start);
  }
  for (const { path, range } of finding.evidence) {
    if (range === undefined) continue;
    assert.ok(range.end.index <= open(path!)!.text.length);
  }
  const { files } = applyFixes([finding], open);
  for (const [path, { text }] of files) {
    const original = open(path)!.text;
    const edits = finding.fix!.edits.filter((edit) => edit.path === path);
    const first = Math.min(...edits.map(({ start }) => start));
    const last = Math.max(...edits.map(({ end }) => end));
    assert.ok(text.startsWith(original.slice(0, first)));
    assert.ok(text.endsWith(original.slice(last)));
  }
}
