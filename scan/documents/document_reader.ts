/** Reads single YAML and JSON documents for several readers: parsing, problems, findings. */
import type { Problem } from '../finding.ts';
import type { ReaderResult } from '../reader.ts';
import type { Declaration } from '../rules/declaration.ts';
import { findingsOf } from '../rules/report.ts';
import type { SourceFile } from '../source_file.ts';
import type { EditTarget } from './edit_documents.ts';
import type { DocumentNode } from './node.ts';
import { parseDocuments } from './parse_documents.ts';

/** Reads one file: `declare` gets each document in it. */
export function readDocuments(
  files: readonly SourceFile[],
  declare: (root: DocumentNode, target: EditTarget) => Declaration[],
): ReaderResult {
  const [file] = files;
  if (file === undefined) return { findings: [], problems: [], resources: 0 };
  const { path, text } = file;
  const { roots, errors, syntax } = parseDocuments(path, text);
  const declarations = roots.flatMap((root) => declare(root, { path, text, syntax }));
  return {
    findings: findingsOf(declarations, (other) => (other === path ? file : null)),
    problems: problemsOf(file, errors),
    resources: declarations.length,
  };
}

function problemsOf(file: SourceFile, errors: readonly { start: number; end: number }[]): Problem[] {
  const [first] = errors;
  if (first === undefined) return [];
  const range = file.range(first.start, first.end);
  const message = `Line ${range.start.line} cannot be parsed. The rest of the file was scanned.`;
  return [{ path: file.path, range, message }];
}
